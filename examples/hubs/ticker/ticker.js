// A market: while it is open a timer moves the prices, which go to everybody, and into the streams of those that opened one.

import { context, hub, reject, state, Stream, timers, wholeHub } from "hubgate/whole-hub";

const EVERY = 250;
const FIRST_PRICES = { TEA: 12.4, RICE: 48.2, GOLD: 924.5 };

const rounded = (price) => Math.round(price * 100) / 100;
const isOpen = () => timers.list().length > 0;
const stocks = () => state.get("stocks") ?? Object.entries(FIRST_PRICES).map(firstStock);

function firstStock([symbol, price]) {
  return { symbol, price, dayOpen: price, dayLow: price, dayHigh: price, change: 0, percentChange: 0 };
}

/** Up or down by at most 1.28 %. */
function moved(stock) {
  const price = rounded(stock.price * (1 + (context.random(1)[0] - 127.5) / 10_000));
  const [dayLow, dayHigh] = [Math.min(stock.dayLow, price), Math.max(stock.dayHigh, price)];
  const change = rounded(price - stock.dayOpen);
  return { ...stock, price, dayLow, dayHigh, change, percentChange: change / price };
}

/** The streams that are open, of all clients or of one: their ids are the ends of their keys. */
const subscriptions = (prefix) => state.keys(prefix).map((key) => ({ key, stream: Stream.fromId(key.split(" ")[2]) }));

function finish(prefix) {
  for (const { key, stream } of subscriptions(prefix)) {
    stream.finish();
    state.delete(key);
  }
}

export default wholeHub({
  methods: {
    GetAllStocks: stocks,

    GetMarketState: () => (isOpen() ? "Open" : "Closed"),

    OpenMarket() {
      if (isOpen()) return;
      timers.every("prices", EVERY);
      hub.sendAll("marketOpened", []);
    },

    CloseMarket() {
      if (!timers.cancel("prices")) return;
      finish("stream ");
      hub.sendAll("marketClosed", []);
    },

    Reset() {
      if (isOpen()) reject("Market must be closed before it can be reset.");
      state.delete("stocks");
      hub.sendAll("marketReset", []);
    },
  },

  streams: {
    StreamStocks(client, stream) {
      finish(`stream ${client.id} `);
      stream.pushAll(stocks());
      if (!isOpen()) return void stream.finish();
      state.set(`stream ${client.id} ${stream.id}`, true);
    },
  },

  cancelled: (client, stream) => state.delete(`stream ${client.id} ${stream.id}`),

  fired() {
    const prices = stocks().map(moved);
    state.set("stocks", prices);
    // Who takes too little misses a price rather than that others wait.
    for (const { stream } of subscriptions("stream ")) stream.pushAll(prices);
    for (const stock of prices) hub.sendAll("updateStockPrice", [stock]);
  },
});
