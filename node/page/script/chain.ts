// What the chain says of goods, and what differs from that in the page's data.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Circ, type Data } from "./data";
import { moves } from "./expected";
import { NoAnswer, ask } from "./rpc";
import type { Label } from "./text";

// Of the contract; put in by scripts/build_page from its artifact.
declare const CONTRACT: {
  circulated: string;
  registered: string;
  goodsOf: string;
  length: number;
  immutables: [start: number, length: number][];
  sha256: string;
};

const STEP = 50;

export type Mark = "checked" | "pending" | "mined" | "differs";
export interface Fault {
  label: Label;
  values?: Record<string, string | number>;
  circ?: number;
}
export interface Finding {
  faults: Fault[];
  done: number;
  waiting: number;
  block: number;
}
interface Log {
  address: string;
  topics: string[];
  data: string;
  logIndex: string;
}
interface Receipt {
  transactionHash: string;
  blockNumber: string;
  transactionIndex: string;
  status: string;
  logs: Log[];
}
interface Event {
  kind: number;
  operator: number;
  to: number;
  digest: string;
  block: number;
  place: [number, number];
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
const word = (hex: string, index: number): bigint => BigInt("0x" + (hex.slice(2 + index * 64, 66 + index * 64) || "x"));
const quantity = (hex: string): number => {
  const value = Number(hex);
  if (!/^0x[0-9a-fA-F]+$/.test(hex) || !Number.isSafeInteger(value)) throw new NoAnswer(`a number: ${String(hex).slice(0, 40)}`);
  return value;
};

// Another chain than the page's answers at this endpoint.
export class OtherChain extends Error {}

export class Checker {
  private readonly faults: Fault[] = [];
  private head = 0;
  private readonly taken: { event: Event; circ: Circ }[] = [];
  private readonly places = new Set<string>();
  private readonly seen = new Set<string>();
  private readonly actors = new Map<string, number>();

  constructor(
    private readonly data: Data,
    private readonly url: string,
    private readonly mark: (circ: number, mark: Mark) => void,
  ) {}

  // Asks the endpoint for everything. Throws NoAnswer or OtherChain.
  async run(): Promise<Finding> {
    try {
      return await this.compared();
    } catch (fault) {
      if (fault instanceof NoAnswer || fault instanceof OtherChain) throw fault;
      throw new NoAnswer(String((fault as Error).message)); // an answer of another shape than asked for
    }
  }

  private async compared(): Promise<Finding> {
    const { data } = this;
    const [chain, head] = (await ask(this.url, [["eth_chainId", []], ["eth_blockNumber", []]])) as [string, string];
    if (BigInt(chain).toString() !== data.chain) throw new OtherChain(BigInt(chain).toString());
    this.head = quantity(head);
    const at = `0x${this.head.toString(16)}`;
    const goods = `${CONTRACT.goodsOf}${data.goods.toString(16).padStart(64, "0")}`;
    const [code] = (await ask(this.url, [["eth_getCode", [data.contract, at]]])) as [string];
    if (!isContract(code)) {
      this.faults.push({ label: "d_code" });
      data.circs.forEach((_, index) => this.mark(index, "differs"));
      return { faults: this.faults, done: 0, waiting: 0, block: this.head };
    }
    const [custody] = (await ask(this.url, [["eth_call", [{ to: data.contract, data: goods }, at]]])) as [string];
    const [holder, times] = [Number(word(custody, 0)), Number(word(custody, 1))];
    await this.learnActors();
    let waiting = 0;
    for (let from = 0; from < data.circs.length; from += STEP) waiting += await this.some(from);
    this.checkWhole(holder, times);
    return { faults: this.faults, done: data.circs.length - waiting, waiting, block: this.head };
  }

  // The numbers of the actors: each name's digest stands in the event of its registration, which is one of a kind.
  private async learnActors(): Promise<void> {
    const named = Object.entries(this.data.parties).filter(([, [, hash]]) => hash !== null);
    const calls = named.map(([, [, hash]]) => ["eth_getTransactionReceipt", [hash]] as [string, unknown[]]);
    const receipts = (await ask(this.url, calls)) as (Receipt | null)[];
    named.forEach(([name], index) => {
      const digest = "0x" + bytesToHex(sha256(utf8ToBytes(name)));
      for (const log of this.logsOf(receipts[index], CONTRACT.registered)) {
        if (word(log.data, 2) === BigInt(digest)) this.actors.set(name, quantity(log.topics[1] as string));
      }
    });
  }

  private logsOf(receipt: Receipt | null | undefined, topic: string): Log[] {
    if (!receipt || quantity(receipt.status) !== 1 || quantity(receipt.blockNumber) > this.head) return [];
    return receipt.logs.filter((log) => same(log.address, this.data.contract) && same(log.topics[0] ?? "", topic));
  }

  private async some(from: number): Promise<number> {
    const circs = this.data.circs.slice(from, from + STEP);
    const hashes = circs.map((circ) => circ.tx_hash ?? circ.trans_id);
    const receipts = (await ask(
      this.url,
      hashes.map((hash) => ["eth_getTransactionReceipt", [hash]]),
    )) as (Receipt | null)[];
    const numbers = [...new Set(receipts.flatMap((receipt) => (receipt ? [receipt.blockNumber] : [])))];
    const blocks = (await ask(
      this.url,
      numbers.map((number) => ["eth_getBlockByNumber", [number, false]]),
    )) as { timestamp: string }[];
    const times = new Map(numbers.map((number, index) => [quantity(number), quantity(blocks[index]?.timestamp ?? "")]));
    let waiting = 0;
    circs.forEach((circ, index) => {
      const receipt = receipts[index] ?? null;
      if (receipt && !same(receipt.transactionHash, hashes[index] as string)) throw new NoAnswer("another receipt");
      const before = this.faults.length;
      const mark = this.one(circ, from + index, receipt, times);
      if (mark === "pending" || mark === "mined") waiting++;
      this.mark(from + index, this.faults.length > before ? "differs" : mark);
    });
    return waiting;
  }

  private one(circ: Circ, index: number, receipt: Receipt | null, times: Map<number, number>): Mark {
    const differs = (label: Label, values?: Record<string, string>): void => {
      this.faults.push({ label, circ: index, ...(values ? { values } : {}) });
    };
    const isFinal = circ.status === "success";
    if (!isFinal && circ.status !== "pending") differs("d_status", { found: circ.status });
    if (this.seen.has(circ.trans_id)) differs("d_twice");
    this.seen.add(circ.trans_id);
    if (!receipt || quantity(receipt.blockNumber) > this.head) {
      if (isFinal && !receipt) differs("d_receipt");
      return "pending";
    }
    if (quantity(receipt.status) !== 1) {
      if (isFinal) differs("d_reverted");
      return "pending";
    }
    const digest = circ.salt && "0x" + bytesToHex(sha256(concatBytes(hexToBytes(circ.salt), utf8ToBytes(circ.form))));
    const events = this.eventsOf(receipt);
    const isTaken = (event: Event): boolean => this.places.has(`${event.place}`);
    const event = events.find((one) => (digest ? one.digest === digest : !isTaken(one))) ?? events[0];
    if (!event) {
      differs("d_event");
      return "differs";
    }
    if (isTaken(event)) differs("d_twice");
    if (event.kind !== circ.kind) differs("d_kind");
    // What was forgotten has no details, and is never the first entry, whose form is the node's own.
    if (digest ? event.digest !== digest : circ.form || index === 0) differs("d_form");
    if (this.actors.get(circ.operator) !== event.operator) differs("d_operator");
    if (this.actors.get(circ.to) !== event.to) differs("d_to");
    if (circ.by_block && times.get(event.block) !== circ.time) differs("d_time");
    this.taken.push({ event, circ });
    this.places.add(`${event.place}`);
    return isFinal ? "checked" : "mined";
  }

  // What a transaction recorded of these goods.
  private eventsOf(receipt: Receipt): Event[] {
    return this.logsOf(receipt, CONTRACT.circulated).flatMap((log) => {
      const ranges = Number(word(log.data, 3));
      const isOurs = Array.from({ length: ranges }, (_, index) => index).some((index) => {
        const [first, count] = [Number(word(log.data, 4 + 2 * index)), Number(word(log.data, 5 + 2 * index))];
        return first <= this.data.goods && this.data.goods < first + count;
      });
      if (!isOurs) return [];
      const [operator, to, kind] = log.topics.slice(1).map(quantity) as [number, number, number];
      const block = quantity(receipt.blockNumber);
      return [{ kind, operator, to, digest: log.data.slice(0, 66).toLowerCase(), block, place: [block, quantity(log.logIndex)] }];
    });
  }

  // Order, count and holder.
  private checkWhole(holder: number, times: number): void {
    const { data } = this;
    const differs = (circ: Circ, label: Label): void => {
      this.faults.push({ label, circ: data.circs.indexOf(circ) });
      this.mark(data.circs.indexOf(circ), "differs");
    };
    this.taken.forEach(({ event, circ }, index) => {
      const before = this.taken[index - 1];
      const [block, log] = event.place;
      if (before && (before.event.place[0] - block || before.event.place[1] - log) >= 0) differs(circ, "d_order");
      const expected = data.left_out ? circ.times !== null && (!before || circ.times > (before.circ.times ?? -1)) : circ.times === index;
      if (!expected) differs(circ, "d_times");
    });
    const found = this.taken.length + data.left_out;
    if (found !== times) this.faults.push({ label: "d_left_out", values: { want: times, found } });
    const last = this.taken.filter(({ circ }) => moves(circ)).at(-1);
    if ((last?.event.to ?? 0) !== holder && !(data.left_out && !last)) this.faults.push({ label: "d_holder" });
  }
}

// Whether code is the contract's, whatever chain and address its creation wrote into it.
function isContract(code: string): boolean {
  if (code.length !== 2 + 2 * CONTRACT.length) return false;
  const bytes = hexToBytes(code.slice(2).toLowerCase());
  for (const [start, length] of CONTRACT.immutables) bytes.fill(0, start, start + length);
  return bytesToHex(sha256(bytes)) === CONTRACT.sha256;
}
