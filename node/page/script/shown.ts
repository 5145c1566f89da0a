// What the page says: every text of its body in order, and what a reader can't see of it.
import { link, picture } from "./expected";

const SKIPPED = "script, noscript"; // a browser shows neither
const FILES = "/ipfs/";
const BUSY_MS_MAX = 25;

export interface Shown {
  texts: string[];
  hidden: string | null;
}

// Takes out what only the script may say, and what stands beside the page's own tree (shadow roots), so that nothing is
// left but what is read here.
export function prepare(body: HTMLElement): void {
  const copy = document.createElement("template");
  copy.innerHTML = body.innerHTML;
  for (const slot of copy.content.querySelectorAll("#verdict, .mark")) slot.replaceChildren();
  body.replaceChildren(copy.content);
}

// A long history takes a while to read: now and then the reader's own doings come first. Answers when it is time again.
async function pause(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve));
  return performance.now() + BUSY_MS_MAX;
}

// Styles are read before boxes: in turns, each closed box of details would have the browser lay out the page again.
export async function shown(body: HTMLElement): Promise<Shown> {
  let until = performance.now() + BUSY_MS_MAX;
  const texts: string[] = [];
  const nodes: [text: string, element: Element][] = [];
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node instanceof Element && node.matches(SKIPPED) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (performance.now() > until) until = await pause();
    if (node instanceof Element) {
      const text = addressed(node) + pictured(node);
      if (text) texts.push(text);
      if (drawn(node)) texts.push(drawn(node));
      continue;
    }
    const text = (node.nodeValue ?? "").replace(/[ \t\r\n\f]+/g, " ").replace(/^ | $/g, "");
    if (!text) continue;
    texts.push(text);
    nodes.push([text, node.parentElement as Element]);
  }
  for (const [text, element] of nodes) {
    if (performance.now() > until) until = await pause();
    if (!isSeen(element)) return { texts, hidden: text };
  }
  return { texts, hidden: null };
}

function addressed(element: Element): string {
  const address = element.localName === "a" ? (element.getAttribute("href") ?? "") : "";
  return address.includes(FILES) ? link(address) : "";
}

function pictured(element: Element): string {
  if (element instanceof HTMLImageElement) {
    return picture(element.getAttribute("src") ?? "", element.alt) + (element.hasAttribute("srcset") ? " srcset" : "");
  }
  // Of what else can show something, a page has nothing.
  return element.matches("svg, canvas, video, audio, iframe, object, embed, input, select, textarea, button, picture, math")
    ? `<${element.localName}>`
    : "";
}

// Text that a style sheet draws instead of the page. Ours has empty boxes only.
function drawn(element: Element): string {
  return ["::before", "::after"]
    .map((which) => getComputedStyle(element, which).content)
    .filter((content) => content.startsWith('"') && content !== '""')
    .join(" ");
}

function isSeen(element: Element): boolean {
  if (element.closest("details:not([open])") && !element.closest("summary")) return true; // a reader opens it
  if (element.matches(".skip")) return true; // seen once it has the focus
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const isVisible = element.checkVisibility?.({ opacityProperty: true, visibilityProperty: true }) ?? true;
  return isVisible && box.width > 0 && box.height > 0 && box.right > 0 && parseFloat(style.fontSize) >= 6;
}
