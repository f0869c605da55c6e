// node `ws`: one process, one event loop.
import { WebSocketServer } from "ws";

const [host, port] = process.argv[2].split(":");
const server = new WebSocketServer({ host, port: Number(port), perMessageDeflate: false, backlog: 4096 });
server.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data) => {
        for (const text of data.toString().split("\x1e")) {
            if (text === "") continue;
            const message = JSON.parse(text);
            if (message.protocol) socket.send("{}\x1e");
            else if (message.invocationId !== undefined) {
                const result = message.arguments.at(-1);
                socket.send(JSON.stringify({ type: 3, invocationId: message.invocationId, result }) + "\x1e");
            } else if (message.target) {
                const said = Buffer.from(JSON.stringify({ type: 1, target: "said", arguments: [message.arguments.at(-1)] }) + "\x1e");
                for (const client of server.clients) client.send(said, { binary: false });
            }
        }
    });
});
