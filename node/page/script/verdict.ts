// The verdict over the whole page, at its top: built by the script alone, whatever the page brought with it there.
import type { Data } from "./data";
import { addressOf } from "./rpc";
import type { Texts } from "./text";

export type State = "running" | "checked" | "pending" | "partly" | "differs" | "unasked";

export class Verdict {
  private readonly place: HTMLElement;
  private state: State | null = null;
  private readonly line = document.createElement("p");

  constructor(
    private readonly texts: Texts,
    private readonly data: Data | null,
    private readonly label: "agrees" | "differs" | "none",
    private readonly chosen: (url: string) => void,
  ) {
    let place = document.getElementById("verdict");
    if (!place) {
      place = document.createElement("div");
      place.id = "verdict";
      document.body.prepend(place);
    }
    place.setAttribute("role", "status");
    this.place = place;
  }

  running(url: string, done: number): void {
    const text = this.texts.say("t_running", { done, count: this.data?.circs.length ?? 0 });
    if (this.state === "running") this.line.textContent = text;
    else this.show("running", [], text, url);
  }

  show(state: State, faults: string[], text: string, url?: string, block?: number, reload = false): void {
    this.state = state;
    this.line.textContent = text;
    const box = make("section", `verdict ${state}`);
    const head = make("h2");
    head.append(make("i"), this.texts.say(`v_${state}`));
    box.append(head, this.line);
    if (faults.length) {
      const list = make("ul");
      list.append(...faults.map((fault) => make("li", "", fault)));
      box.append(list);
    }
    if (reload) {
      const button = make("button", "again", this.texts.say("reload"));
      button.addEventListener("click", () => location.reload());
      box.append(button);
    }
    if (this.data && state !== "running") box.append(this.more(this.data, state === "unasked", url, block));
    this.place.replaceChildren(box);
    if (state === "differs") document.querySelector("main")?.prepend(this.place); // nothing is to be read before it
  }

  // Which chain, contract and endpoint were asked, and the choice of another endpoint.
  private more(data: Data, open: boolean, url?: string, block?: number): HTMLElement {
    const box = make("details", "more") as HTMLDetailsElement;
    box.open = open;
    box.append(make("summary", "", this.texts.say("asked") + (url ? `: ${new URL(url).host}` : "")));
    const list = make("dl");
    const rows: [string, string][] = [
      [this.texts.say("contract"), this.contract(data.contract)],
      [this.texts.say("chain"), block === undefined ? data.chain : this.texts.say("at_block", { chain: data.chain, block })],
    ];
    if (url) {
      const isOwn = new URL(url).origin === location.origin;
      rows.unshift([this.texts.say("asked"), this.texts.say(isOwn ? "own_endpoint" : "other_endpoint", { url })]);
    }
    for (const [name, value] of rows) list.append(make("dt", "", name), make("dd", "", value));
    box.append(list, make("p", "names", this.texts.say("names_note")), this.choice(url));
    return box;
  }

  private contract(contract: string): string {
    if (this.label === "differs") return contract;
    return this.texts.say(this.label === "agrees" ? "label_yes" : "label_no", { contract });
  }

  private choice(url?: string): HTMLElement {
    const form = make("form", "endpoint") as HTMLFormElement;
    const label = make("label", "", this.texts.say("endpoint"));
    const input = make("input") as HTMLInputElement;
    const problem = make("p");
    Object.assign(input, { type: "url", value: url ?? "", required: true, autocomplete: "off", spellcheck: false });
    label.append(input);
    const button = make("button", "", this.texts.say(url ? "ask_another" : "check"));
    form.append(label, button, problem);
    form.noValidate = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const url = addressOf(input.value);
      if (url) this.chosen(url);
      else problem.textContent = this.texts.say("endpoint_bad");
    });
    return form;
  }
}

function make(name: string, className = "", text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
