// JSON as forms have it: numbers stay as they are written, members keep their order.

export class Num {
  constructor(readonly text: string) {}
}
export type Value = null | boolean | string | Num | Value[] | Map<string, Value>;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const DEPTH_MAX = 200;

export function parse(text: string): Value {
  let at = 0;
  const fail = (): never => {
    throw new Error(`not JSON at ${at}`);
  };
  const space = (): void => {
    while (" \t\r\n".includes(text[at] ?? "x")) at++;
  };
  const take = (wanted: string): boolean => {
    if (!text.startsWith(wanted, at)) return false;
    at += wanted.length;
    return true;
  };
  const match = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) return fail();
    at += found[0].length;
    return found[0];
  };
  const quoted = (): string => {
    const start = at;
    if (!take('"')) return fail();
    for (;;) {
      match(PLAIN);
      if (take('"')) return JSON.parse(text.slice(start, at)) as string;
      if (!take("\\")) return fail();
      at++;
    }
  };
  const value = (depth: number): Value => {
    if (depth > DEPTH_MAX) return fail();
    space();
    if (text[at] === '"') return quoted();
    if (take("null")) return null;
    if (take("true")) return true;
    if (take("false")) return false;
    if (take("[")) {
      const items: Value[] = [];
      space();
      if (take("]")) return items;
      for (;;) {
        items.push(value(depth + 1));
        space();
        if (take("]")) return items;
        if (!take(",")) return fail();
      }
    }
    if (take("{")) {
      const members = new Map<string, Value>();
      space();
      if (take("}")) return members;
      for (;;) {
        space();
        const name = quoted();
        space();
        if (!take(":")) return fail();
        members.set(name, value(depth + 1));
        space();
        if (take("}")) return members;
        if (!take(",")) return fail();
      }
    }
    return new Num(match(NUMBER));
  };
  const made = value(0);
  space();
  return at === text.length ? made : fail();
}

// The members of a form; null for what is no JSON object, such as an empty form.
export function membersOf(form: string): Map<string, Value> | null {
  try {
    const value = parse(form);
    return value instanceof Map ? value : null;
  } catch {
    return null;
  }
}
