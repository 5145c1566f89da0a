// The files that the forms name: their bytes must give their CIDs. What is shown as a picture is then the very bytes
// that were checked.
import { cidOf } from "./cid";

const BYTES_MAX = 8 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

export type FileMark = "checked" | "differs" | "unchecked";

export async function checkFile(place: HTMLElement, cid: string, bytes: number): Promise<FileMark> {
  if (bytes > BYTES_MAX) return "unchecked";
  let content: Blob;
  try {
    const answer = await fetch(`/ipfs/${cid}`, { credentials: "omit", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok || Number(answer.headers.get("content-length") ?? 0) > BYTES_MAX) return "unchecked";
    content = await answer.blob();
  } catch {
    return "unchecked";
  }
  if (cidOf(new Uint8Array(await content.arrayBuffer())) !== cid) return "differs";
  const picture = place.querySelector("img");
  if (picture) picture.src = URL.createObjectURL(content);
  return "checked";
}
