// The rules of node/page/text.py a second time: what a page must say follows from its data alone.
import labels from "../labels.json";
import { Num, type Value } from "./json";

export type Language = "en" | "zh";
export type Label = keyof typeof labels.en;

const HARMFUL =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]/gu;
const FILE = /^(?:ipfs:\/|https?:\/\/[^ \t\n\r\f\v/]{1,255}\/ipfs)\/baf(?:krei|ybei)[a-z2-7]{52}$/;
const WITH_UNIT = /^(?!.*_per_)(.*[a-z]{4})_([a-z]+)$/s;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const RFC3339 = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,6})?Z$/;

export function clean(text: string): string {
  return text
    .replace(HARMFUL, "\ufffd")
    .replace(/[ \t\r\n]+/g, " ")
    .replace(/^ | $/g, "");
}

export class Texts {
  constructor(readonly language: Language) {}

  say(label: Label, values: Record<string, string | number> = {}): string {
    return labels[this.language][label].replace(/\{([a-z]+)\}/g, (_, name: string) => String(values[name]));
  }

  moment(seconds: number): string {
    const zh = this.language === "zh";
    const when = new Date((seconds + (zh ? 8 * 3600 : 0)) * 1000);
    const two = (value: number): string => String(value).padStart(2, "0");
    const clock = `${two(when.getUTCHours())}:${two(when.getUTCMinutes())}`;
    const [year, month, day] = [when.getUTCFullYear(), when.getUTCMonth(), when.getUTCDate()];
    return zh ? `${year}年${month + 1}月${day}日 ${clock} 北京时间` : `${day} ${MONTHS[month]} ${year}, ${clock} UTC`;
  }

  momentOf(rfc3339: string): string {
    const found = RFC3339.exec(rfc3339);
    if (!found) return clean(rfc3339);
    const [year, month, day, hour, minute, second] = found.slice(1).map(Number) as [
      number, number, number, number, number, number,
    ];
    const when = new Date(0);
    when.setUTCFullYear(year, month - 1, day);
    when.setUTCHours(hour, minute, second);
    // What JavaScript rolled over to another day or hour is no time.
    const same = when.getUTCMonth() === month - 1 && when.getUTCDate() === day && hour < 24 && minute < 60;
    return same && second < 60 && year > 0 && year < 9999 ? this.moment(Math.floor(when.getTime() / 1000)) : clean(rfc3339);
  }

  // The texts of a value of a form, in the order in which the page shows them.
  tree(value: Value): string[] {
    if (value instanceof Map && value.size) {
      return [...value].flatMap(([name, inner]) => {
        const [stem, unit] = unitOf(name, inner);
        const [first, ...rest] = this.tree(inner) as [string, ...string[]];
        return [this.heading(stem) || this.say("none"), first + unit, ...rest];
      });
    }
    if (Array.isArray(value) && value.length) return value.flatMap((inner) => this.tree(inner));
    if (typeof value === "boolean") return [this.say(value ? "yes" : "no")];
    if (typeof value === "string" && FILE.test(value)) return [this.say("see_file")];
    const text = value instanceof Num ? value.text : typeof value === "string" ? clean(value) : "";
    return [text || this.say("none")];
  }

  private heading(name: string): string {
    const members: Record<string, string> = labels.members;
    if (this.language === "zh" && Object.hasOwn(members, name)) return members[name] as string;
    const text = clean(name.replaceAll("_", " "));
    return /^[a-z]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  }
}

function unitOf(name: string, value: Value): [string, string] {
  const [, stem, last] = WITH_UNIT.exec(name) ?? [];
  const units: Record<string, string> = labels.units;
  return value instanceof Num && stem !== undefined && last !== undefined && Object.hasOwn(units, last)
    ? [stem, ` ${units[last]}`]
    : [name, ""];
}

export function size(count: number): string {
  if (count < 1_000) return `${count} B`;
  return count < 1_000_000 ? `${Math.floor(count / 1_000)} kB` : `${Math.floor(count / 1_000_000)} MB`;
}
