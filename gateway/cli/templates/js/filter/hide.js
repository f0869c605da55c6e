// What the filter hides.

export const hide = (text) => text.replaceAll("secret", "******");
