// A client sends a file in pieces, hears how much has arrived, and gets the number of bytes in the end.

import { hub, state, Stream, wholeHub } from "hubgate/whole-hub";

const DAY = 24 * 60 * 60 * 1000;
const bytesIn = (base64) => Math.floor((base64.replace(/=+$/, "").length * 3) / 4);

export default wholeHub({
  streams: {
    UploadFile: (client, call, name) => state.set(call.uploads[0], { call: call.id, name }, DAY),
  },

  item(client, upload, piece) {
    const { name } = state.get(upload);
    hub.sendConnection(client.id, "progress", [name, state.increment(`${upload}/bytes`, bytesIn(piece), DAY)]);
  },

  ended(client, upload, error) {
    const call = Stream.fromId(state.get(upload).call);
    if (error === null) call.answer(state.get(`${upload}/bytes`) ?? 0);
    else call.reject(error);
  },
});
