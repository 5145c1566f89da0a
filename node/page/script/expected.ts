// What the page must say, made of its data alone: the rules of node/page/view.py a second time. A text is one text of
// the page; a picture is `img` with its address and its alternative text, a link to a file `file` with its address.
import { type Circ, type Data, EXAM, PRODUCE, TRANSFER } from "./data";
import { Num, type Value, membersOf } from "./json";
import { type Label, Texts, clean, size } from "./text";

const ALARMS_SHOWN_MAX = 10;
const FILES_OF_ENTRY_MAX = 12;
const PASS = ["pass", "passed", "合格"];
const FAIL = ["fail", "failed", "不合格"];
const ADDRESS = /(?:ipfs:\/\/|\/ipfs\/)(baf(?:krei|ybei)[a-z2-7]{52})(?![0-9A-Za-z])/g;

type Members = Map<string, Value> | null;
type Alarm = "recall" | "lifted" | "fail" | "pass" | "";
interface Product {
  name: string;
  trademark: string;
  description: string;
  serial: string;
  time: string;
  org: string;
  code: string;
}

export function expected(data: Data): { title: string; texts: string[] } {
  return new Expected(data).page();
}

class Expected {
  private readonly texts: Texts;
  private readonly members: Members[];
  private readonly alarms: Alarm[];
  private readonly product: Product | null;

  constructor(private readonly data: Data) {
    this.texts = new Texts(data.language);
    this.members = data.circs.map((circ) => membersOf(circ.form));
    this.alarms = data.circs.map((circ, index) => alarmOf(circ, this.members[index] ?? null));
    const first = data.circs[0];
    this.product = first ? productOf(first, this.members[0] ?? null) : null;
  }

  page(): { title: string; texts: string[] } {
    const { data, product } = this;
    const name = clean(product?.name ?? "") || this.say("unknown_product");
    const about = this.about();
    const texts = [
      this.say("skip"), "中文", "English",
      clean(product?.trademark ?? ""),
      name,
      this.say("goods", { goods: data.goods }),
      ...this.notices(),
      ...(data.hinted ? [this.say("hint"), this.say("hint_text"), this.say("hint_do")] : []),
      this.say("holder"),
      ...this.holder(),
      ...this.facts(),
      ...(about.length ? [this.say("about"), ...about] : []),
      this.say("history"),
      data.left_out ? this.say("omitted", { count: data.left_out }) : "",
      ...data.circs.flatMap((_, index) => this.entry(index)),
      this.say("names"),
      this.say("record"), this.say("trust"),
      this.say("chain"), data.chain, this.say("contract"), data.contract,
    ];
    return { title: this.say("title", { product: name, goods: data.goods }), texts: texts.filter(Boolean) };
  }

  private say(label: Label, values?: Record<string, string | number>): string {
    return this.texts.say(label, values);
  }

  private who(username: string): [string, string] {
    const org = clean(this.product?.org ?? "");
    if (org && username === this.data.circs[0]?.operator) return [org, clean(username)];
    const party = Object.hasOwn(this.data.parties, username) ? this.data.parties[username] : undefined;
    const nickname = clean(party?.[0] ?? "");
    return [nickname && this.say("nickname", { name: nickname }), clean(username)];
  }

  private short(username: string): string {
    const [name, code] = this.who(username);
    return name || code;
  }

  private when(circ: Circ): string {
    const when = this.texts.moment(circ.time);
    return circ.by_block ? when : this.say("recorded", { when });
  }

  private holder(): string[] {
    const last = (final: boolean): string | undefined =>
      this.data.circs.filter((circ) => moves(circ) && (circ.status === "success" || !final)).at(-1)?.to;
    const [now, coming] = [last(true), last(false)];
    return [
      ...(now === undefined ? [this.say("no_holder")] : this.who(now)),
      coming !== undefined && coming !== now ? this.say("waiting_holder", { name: this.short(coming) }) : "",
    ];
  }

  private facts(): string[] {
    const { product } = this;
    const none = this.say("none");
    const exams = this.alarms.filter((_, index) => this.data.circs[index]?.kind === EXAM);
    const passed = exams.filter((alarm) => alarm === "pass").length;
    const failed = exams.filter((alarm) => alarm === "fail").length;
    const other = exams.length - passed - failed;
    const count = this.say(other ? "exams_other" : "exams_count", { passed, failed, other });
    return [
      ...(product
        ? [
            this.say("maker"), clean(product.org) || none,
            this.say("code"), clean(product.code) || none,
            this.say("produced"), this.texts.momentOf(product.time) || none,
            this.say("serial"), product.serial,
          ]
        : []),
      this.say("exams"),
      exams.length ? count : this.say("exams_none"),
    ];
  }

  private about(): string[] {
    const description = this.product?.description ?? "";
    const members = membersOf(description);
    if (members) return members.size ? this.texts.tree(members) : [];
    return [clean(description)].filter(Boolean);
  }

  private notices(): string[] {
    const { circs } = this.data;
    const found: Record<"recall" | "fail" | "lifted", number[]> = { recall: [], fail: [], lifted: [] };
    const lifted = new Set<string>();
    const awaiting = new Map<string, number>();
    for (let index = circs.length - 1; index >= 0; index--) {
      const alarm = this.alarms[index];
      const operator = circs[index]?.operator ?? "";
      if (alarm === "lifted") {
        lifted.add(operator);
        awaiting.set(operator, index);
      } else if (alarm === "recall" && !lifted.has(operator)) {
        found.recall.push(index);
      } else if (alarm === "recall" && awaiting.has(operator)) {
        found.lifted.push(awaiting.get(operator) as number);
        awaiting.delete(operator);
      } else if (alarm === "fail") {
        found.fail.push(index);
      }
    }
    const loud = (["recall", "fail", "lifted"] as const).flatMap((alarm) =>
      found[alarm].map((index) => [alarm, index] as const),
    );
    return loud.slice(0, ALARMS_SHOWN_MAX).flatMap(([alarm, index]) => {
      const circ = circs[index] as Circ;
      const reason = this.members[index]?.get("recall");
      const said = (typeof reason === "string" && clean(reason)) || this.say("recall_text");
      const byAt = this.say("by_at", { who: this.short(circ.operator), when: this.when(circ) });
      return [this.say(alarm), alarm === "recall" ? said : "", byAt];
    });
  }

  private entry(index: number): string[] {
    const circ = this.data.circs[index] as Circ;
    const members = this.members[index] ?? null;
    const alarm = this.alarms[index] ?? "";
    const isProduct = index === 0 && this.product !== null;
    const cids = cidsIn(members);
    const more = cids.length - FILES_OF_ENTRY_MAX;
    const kind = [0, 1, 3, 4].includes(circ.kind) ? this.say(`kind${circ.kind}` as Label) : String(circ.kind);
    return [
      kind,
      alarm && this.say(alarm === "fail" ? "failed" : alarm),
      this.when(circ),
      ...this.who(circ.operator),
      ...(circ.to === circ.operator ? [] : [this.say("to"), ...this.who(circ.to)]),
      ...(circ.status === "success" ? [] : [this.say("pending"), this.say("pending_text")]),
      ...(circ.salt ? [] : [this.say("forgotten")]),
      ...(isProduct || !members?.size ? [] : this.texts.tree(members)),
      ...cids.slice(0, FILES_OF_ENTRY_MAX).flatMap((cid) => this.file(cid)),
      more > 0 ? this.say("more_files", { count: more }) : "",
      this.say("proof"),
      this.say("number"), circ.times === null ? this.say("none") : String(circ.times),
      this.say("trans_id"), circ.trans_id,
      ...(circ.tx_hash === null || circ.tx_hash === circ.trans_id ? [] : [this.say("tx_hash"), circ.tx_hash]),
      ...(circ.salt ? [this.say("digest"), circ.salt] : []),
    ];
  }

  private file(cid: string): string[] {
    const file = Object.hasOwn(this.data.files, cid) ? this.data.files[cid] : undefined;
    if (!file) return [this.say("no_file", { cid })];
    const [name, type, isPicture, bytes] = file;
    const address = `/ipfs/${cid}`;
    if (isPicture) return [link(address), picture(address, this.say("picture", { name }))];
    return [link(address), this.say("file", { name, type, size: size(bytes) })];
  }
}

export const link = (address: string): string => `file ${address}`;
export const picture = (address: string, text: string): string => `img ${address} ${text}`;

export const moves = (circ: Circ): boolean => circ.kind === PRODUCE || circ.kind === TRANSFER;

function alarmOf(circ: Circ, members: Members): Alarm {
  const recall = members?.get("recall");
  if (members?.has("recall")) return recall === false || recall === null || recall === "" ? "lifted" : "recall";
  const result = members?.get("result");
  if (circ.kind !== EXAM || typeof result !== "string") return "";
  const word = result.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "").toLowerCase();
  return FAIL.includes(word) ? "fail" : PASS.includes(word) ? "pass" : "";
}

function productOf(circ: Circ, members: Members): Product | null {
  const [made, serial, org] = ["class", "serial", "org"].map((name) => members?.get(name));
  if (circ.kind !== PRODUCE || !(made instanceof Map && serial instanceof Map && org instanceof Map)) return null;
  const id = serial.get("id");
  const [name, trademark, description] = ["name", "trademark", "description"].map((key) => made.get(key));
  const [time, orgName, code] = [serial.get("product_time"), org.get("name"), org.get("code")];
  const texts = [name, trademark, description, time, orgName, code];
  if (!(id instanceof Num) || !texts.every((text) => typeof text === "string")) return null;
  const [n, t, d, p, o, c] = texts as [string, string, string, string, string, string];
  return { name: n, trademark: t, description: d, serial: id.text, time: p, org: o, code: c };
}

// The files that a form names, each once, in its order.
export function cidsIn(members: Value): string[] {
  const found = new Set<string>();
  const walk = (value: Value): void => {
    if (typeof value === "string") for (const match of value.matchAll(ADDRESS)) found.add(match[1] as string);
    else if (Array.isArray(value)) value.forEach(walk);
    else if (value instanceof Map) [...value.values()].forEach(walk);
  };
  walk(members);
  return [...found];
}
