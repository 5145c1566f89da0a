// Questions to a JSON-RPC endpoint that the reader chose.

const BATCH_MAX = 50;
const TIMEOUT_MS = 15_000;
const LIMIT_EXCEEDED = -32005;

export type Call = [method: string, params: unknown[]];

// The endpoint gave no answer that can be used.
export class NoAnswer extends Error {}

interface Answer {
  id: number;
  result?: unknown;
  error?: { code?: number; message?: string };
}

// An http or https address, made whole; "" for what is none.
export function addressOf(text: string, base?: string): string {
  try {
    const url = new URL(text, base);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : "";
  } catch {
    return "";
  }
}

// The answers in the order of the calls. Where an endpoint refuses a batch, it is asked for less at a time.
export async function ask(url: string, calls: Call[]): Promise<unknown[]> {
  const parts: Call[][] = [];
  for (let at = 0; at < calls.length; at += BATCH_MAX) parts.push(calls.slice(at, at + BATCH_MAX));
  const answers: unknown[] = [];
  for (const part of parts) answers.push(...(await askPart(url, part)));
  return answers;
}

async function askPart(url: string, calls: Call[]): Promise<unknown[]> {
  let found: unknown;
  try {
    found = await post(url, calls.map(([method, params], id) => ({ jsonrpc: "2.0", id, method, params })));
  } catch (fault) {
    if (calls.length === 1 || !(fault instanceof NoAnswer) || fault.message === "timeout") throw fault;
    return askHalves(url, calls);
  }
  if (!Array.isArray(found) || found.length !== calls.length) {
    if (calls.length > 1) return askHalves(url, calls);
    found = [found];
  }
  const byId = new Map((found as Answer[]).map((answer) => [answer?.id, answer]));
  const ordered = calls.map((_, id) => byId.get(id));
  if (calls.length > 1 && ordered.some((answer) => answer?.error?.code === LIMIT_EXCEEDED)) return askHalves(url, calls);
  return ordered.map((answer) => {
    if (!answer || answer.error || answer.result === undefined) {
      throw new NoAnswer(answer?.error?.message?.slice(0, 200) ?? "no result");
    }
    return answer.result;
  });
}

async function askHalves(url: string, calls: Call[]): Promise<unknown[]> {
  const half = Math.ceil(calls.length / 2);
  return [...(await askPart(url, calls.slice(0, half))), ...(await askPart(url, calls.slice(half)))];
}

async function post(url: string, body: unknown[]): Promise<unknown> {
  // One question alone is sent as itself: some endpoints take no batch.
  const text = JSON.stringify(body.length === 1 ? body[0] : body);
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return await answer.json();
  } catch (fault) {
    throw new NoAnswer((fault as Error).name === "TimeoutError" ? "timeout" : String((fault as Error).message));
  }
}
