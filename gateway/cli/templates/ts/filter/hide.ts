// What the filter hides.

export const hide = (text: string): string => text.replaceAll("secret", "******");
