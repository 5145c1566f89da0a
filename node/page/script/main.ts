// Checks the page on the reader's device. It trusts neither the page nor its server: what the page says must follow
// from its data, and its data from the chain, as an endpoint of the reader's choice tells it.
import { Checker, type Fault, type Finding, type Mark, OtherChain } from "./chain";
import { type Data, isData } from "./data";
import { expected } from "./expected";
import { type FileMark, checkFile } from "./files";
import { addressOf } from "./rpc";
import { prepare, shown } from "./shown";
import { type Label, Texts } from "./text";
import { Verdict } from "./verdict";

const FAULTS_SHOWN_MAX = 20;

// What the label says: #c=ADDRESS, or #c=CHAIN:ADDRESS; #rpc=URL remembers an endpoint that the reader chose.
const fragment = new URLSearchParams(location.hash.slice(1));

function readData(): Data | null {
  try {
    const value: unknown = JSON.parse(document.getElementById("trace")?.textContent ?? "");
    return isData(value) ? value : null;
  } catch {
    return null;
  }
}

// What can be told without asking anybody.
async function checkPage(data: Data): Promise<Fault[]> {
  const faults: Fault[] = [];
  const number = /^\/t\/0*([0-9]+)\/?$/.exec(location.pathname)?.[1] ?? "";
  if (number !== String(data.goods)) faults.push({ label: "d_address", values: { want: number, found: data.goods } });
  const wanted = expected(data);
  const found = await shown(document.body);
  if (document.title !== wanted.title) faults.push(text(document.title, wanted.title));
  const length = Math.max(found.texts.length, wanted.texts.length);
  for (let index = 0; index < length; index++) {
    if (found.texts[index] === wanted.texts[index]) continue;
    faults.push(text(found.texts[index] ?? "", wanted.texts[index] ?? ""));
    break;
  }
  if (found.hidden !== null) faults.push({ label: "d_hidden", values: { found: found.hidden.slice(0, 200) } });
  return faults;
}

const text = (found: string, want: string): Fault => ({
  label: "d_page",
  values: { found: found.slice(0, 200), want: want.slice(0, 200) },
});

function checkLabel(data: Data): Fault[] {
  const label = fragment.get("c");
  if (label === null) return [];
  const [, chain, contract] = /^(?:([0-9]+):)?(0x[0-9a-fA-F]{40})$/.exec(label) ?? [];
  if (contract === undefined) return [{ label: "d_label_bad", values: { found: label.slice(0, 100) } }];
  const faults: Fault[] = [];
  if (contract.toLowerCase() !== data.contract.toLowerCase()) {
    faults.push({ label: "d_label", values: { want: contract, found: data.contract } });
  }
  if (chain !== undefined && chain !== data.chain) {
    faults.push({ label: "d_label_chain", values: { want: chain, found: data.chain } });
  }
  return faults;
}

class Check {
  private readonly texts: Texts;
  private readonly verdict: Verdict;
  private readonly pageFaults: Fault[];
  private readonly entries: Element[];
  private readonly pictures = new Map<Element, string>();
  private run = 0;

  constructor(private readonly data: Data, faults: Fault[]) {
    this.texts = new Texts(data.language);
    const labelFaults = checkLabel(data);
    this.pageFaults = [...faults, ...labelFaults];
    this.entries = [...document.querySelectorAll(".entry")];
    const label = !fragment.has("c") ? "none" : labelFaults.length ? "differs" : "agrees";
    this.verdict = new Verdict(this.texts, data, label, (url) => {
      fragment.set("rpc", url);
      history.replaceState(null, "", `#${fragment}`);
      this.keepFragment();
      void this.start(url);
    });
    this.keepFragment();
  }

  async start(url: string): Promise<void> {
    const run = ++this.run;
    if (!url) {
      this.verdict.show(this.pageFaults.length ? "differs" : "unasked", this.lines(this.pageFaults), this.texts.say("endpoint_wanted"));
      return;
    }
    let done = 0;
    this.verdict.running(url, 0);
    try {
      const checker = new Checker(this.data, url, (circ, mark) => {
        if (run !== this.run) return;
        this.mark(this.entries[circ]?.querySelector(".mark"), `m_${mark}`, mark);
        this.verdict.running(url, ++done);
      });
      const finding = await checker.run();
      const [files, bad] = await this.files();
      if (run === this.run) await this.conclude(url, finding, files, bad);
    } catch (fault) {
      if (run !== this.run) return;
      const why = fault instanceof OtherChain
        ? this.texts.say("w_chain", { url, found: fault.message, want: this.data.chain })
        : this.texts.say("w_answer", { url, why: String((fault as Error).message).slice(0, 200) });
      for (const entry of this.entries) this.mark(entry.querySelector(".mark"), "m_unchecked", "pending");
      const state = this.pageFaults.length ? "differs" : "unasked";
      this.verdict.show(state, this.lines(this.pageFaults), this.texts.say("t_unasked", { why }), url);
    }
  }

  private async conclude(url: string, finding: Finding, unchecked: number, bad: Fault[]): Promise<void> {
    const faults = [...this.pageFaults, ...finding.faults, ...bad];
    const { done, waiting, block } = finding;
    const { left_out: leftOut, circs } = this.data;
    const forgotten = circs.filter((circ) => !circ.salt).length;
    if (faults.length) {
      const isOld = faults.every((fault) => fault.label === "d_left_out") && (await this.hasGrown());
      if (isOld) this.verdict.show("pending", [], this.texts.say("w_grown"), url, block, true);
      else this.verdict.show("differs", this.lines(faults), this.texts.say("t_differs"), url, block);
    } else if (leftOut || forgotten || unchecked) {
      const what = [
        leftOut ? this.texts.say("p_omitted", { count: leftOut }) : "",
        forgotten ? this.texts.say("p_forgotten", { count: forgotten }) : "",
        unchecked ? this.texts.say("p_files", { count: unchecked }) : "",
      ];
      this.verdict.show("partly", [], this.texts.say("t_partly", { what: what.filter(Boolean).join(", ") }), url, block);
    } else if (waiting || !done) {
      this.verdict.show("pending", [], this.texts.say("t_pending", { count: done, waiting }), url, block);
    } else {
      this.verdict.show("checked", [], this.texts.say("t_checked", { count: done }), url, block);
    }
  }

  // Whether the node shows more by now than when this page was made: then the page is old, not wrong.
  private async hasGrown(): Promise<boolean> {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", credentials: "omit" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const value: unknown = JSON.parse(page.getElementById("trace")?.textContent ?? "");
      return isData(value) && value.circs.length + value.left_out > this.data.circs.length + this.data.left_out;
    } catch {
      return false;
    }
  }

  // Holds the files that are shown against their CIDs; answers how many could not be, and what differs.
  private async files(): Promise<[number, Fault[]]> {
    let unchecked = 0;
    const faults: Fault[] = [];
    const known = new Map<string, FileMark>();
    for (const place of document.querySelectorAll<HTMLElement>(".files > li")) {
      const link = place.querySelector("a");
      const picture = place.querySelector("img");
      if (picture && !this.pictures.has(place)) this.pictures.set(place, picture.getAttribute("src") ?? "");
      const cid = /^\/ipfs\/([a-z0-9]+)$/.exec(link?.getAttribute("href") ?? "")?.[1] ?? "";
      const isSame = !picture || this.pictures.get(place) === `/ipfs/${cid}`;
      const file = Object.hasOwn(this.data.files, cid) ? this.data.files[cid] : undefined;
      if (!link) {
        unchecked++;
        continue;
      }
      const mark: FileMark = !isSame || !file ? "differs" : known.get(cid) ?? (await checkFile(place, cid, file[3]));
      if (!picture) known.set(cid, mark);
      if (mark === "unchecked") unchecked++;
      if (mark === "differs") faults.push({ label: "d_file", values: { name: file?.[0] ?? cid } });
      let slot = place.querySelector(":scope > .mark");
      if (!slot) {
        slot = document.createElement("span");
        place.append(slot);
      }
      this.mark(slot, `m_${mark}`, mark);
    }
    return [unchecked, faults];
  }

  private mark(slot: Element | null | undefined, label: Label, state: Mark | FileMark): void {
    if (!slot) return;
    const tone = state === "mined" || state === "unchecked" ? "pending" : state;
    slot.className = `mark ${tone}`;
    slot.replaceChildren(document.createElement("i"), this.texts.say(label));
  }

  private lines(faults: Fault[]): string[] {
    return faults.slice(0, FAULTS_SHOWN_MAX).map(({ label, values, circ }) => {
      const said = this.texts.say(label, values);
      if (circ === undefined) return said;
      const { kind } = this.data.circs[circ] ?? { kind: -1 };
      const name = [0, 1, 3, 4].includes(kind) ? this.texts.say(`kind${kind}` as Label) : String(kind);
      return `${circ + 1}. ${name}: ${said}`;
    });
  }

  // The other language is checked by the same label and endpoint.
  private keepFragment(): void {
    if (!isLabelled(fragment)) return;
    for (const link of document.querySelectorAll<HTMLAnchorElement>(".languages a")) link.hash = `${fragment}`;
  }
}

const isLabelled = (hash: URLSearchParams): boolean => hash.has("c") || hash.has("rpc");

// A link within the page must not make it forget its label; another label is another question.
addEventListener("hashchange", () => {
  if (isLabelled(new URLSearchParams(location.hash.slice(1)))) location.reload();
  else if (isLabelled(fragment)) history.replaceState(null, "", `#${fragment}`);
});

async function begin(data: Data): Promise<void> {
  prepare(document.body);
  const check = new Check(data, await checkPage(data));
  const endpoint = fragment.get("rpc") ?? data.endpoint;
  await check.start(endpoint && addressOf(endpoint, location.origin));
}

const data = readData();
if (data) {
  void begin(data);
} else {
  const texts = new Texts(document.documentElement.lang.startsWith("zh") ? "zh" : "en");
  new Verdict(texts, null, "none", () => undefined).show("differs", [texts.say("d_data")], texts.say("t_differs"));
}
