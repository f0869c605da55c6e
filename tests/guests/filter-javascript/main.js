// A filter in JavaScript: it refuses calls whose first argument is `no`, and shouts what is sent.

export const lifecycle = { init() {} };

export const inboundFilter = {
  inspect(client, message) {
    const [first] = message.target ? JSON.parse(message.content.val) : [];
    return first === "no" ? { tag: "reject", val: `No, ${client.userId}.` } : { tag: "pass" };
  },
};

export const outboundFilter = {
  inspect(delivery, message) {
    if (message.target !== "said") {
      return { tag: "pass" };
    }
    const content = { tag: "json", val: message.content.val.toUpperCase() };
    return { tag: "replace", val: { ...message, content } };
  },
};
