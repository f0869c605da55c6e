/** What a line has beside its text. */
export type Fields = Record<string, string | number | boolean | bigint | null>;

export function debug(text: string, fields?: Fields): void;
export function info(text: string, fields?: Fields): void;
export function warn(text: string, fields?: Fields): void;
export function error(text: string, fields?: Fields): void;
