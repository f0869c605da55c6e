// A client sends a file in pieces, hears how much has arrived, and gets the number of bytes in the end.

import { hub, reject, state, Stream, wholeHub } from "hubgate/whole-hub";

const DAY = 24 * 60 * 60 * 1000;
const bytesIn = (base64) => Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
const file = (upload) => state.get(upload) ?? reject("This upload is not known, or is older than a day.");

export default wholeHub({
  streams: {
    UploadFile: (client, call, name) => state.set(call.uploads[0], { call: call.id, name }, DAY),
  },

  item(client, upload, piece) {
    if (typeof piece !== "string") reject("A piece is a text in base64.");
    const { name } = file(upload);
    hub.sendConnection(client.id, "progress", [name, state.increment(`${upload}/bytes`, bytesIn(piece), DAY)]);
  },

  ended(client, upload, error) {
    const call = Stream.fromId(file(upload).call);
    if (error === null) call.answer(state.get(`${upload}/bytes`) ?? 0);
    else call.reject(error);
  },
});
