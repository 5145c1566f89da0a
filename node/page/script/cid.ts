// The CID that a node gives to bytes: chunks of 256 KiB as raw blocks, 174 links to a node, sha2-256, CIDv1.
import { sha256 } from "@noble/hashes/sha2.js";

const CHUNK = 262_144;
const LINKS = 174;
const RAW = 0x55;
const DAG_PB = 0x70;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

interface Block {
  cid: Uint8Array;
  bytes: number; // of the file
  total: number; // of the block and all below it
}

export function cidOf(content: Uint8Array): string {
  let level: Block[] = [];
  for (let at = 0; at < content.length || at === 0; at += CHUNK) {
    const chunk = content.subarray(at, at + CHUNK);
    level.push({ cid: cidBytes(RAW, chunk), bytes: chunk.length, total: chunk.length });
  }
  while (level.length > 1) {
    const above: Block[] = [];
    for (let at = 0; at < level.length; at += LINKS) above.push(joined(level.slice(at, at + LINKS)));
    level = above;
  }
  return "b" + base32((level[0] as Block).cid);
}

function joined(children: Block[]): Block {
  const bytes = children.reduce((sum, child) => sum + child.bytes, 0);
  const links = children.flatMap((child) =>
    field(2, [...field(1, [...child.cid]), ...field(2, []), 0x18, ...varint(child.total)]),
  );
  const file = [0x08, 2, 0x18, ...varint(bytes), ...children.flatMap((child) => [0x20, ...varint(child.bytes)])];
  const block = Uint8Array.from([...links, ...field(1, file)]);
  const below = children.reduce((sum, child) => sum + child.total, 0);
  return { cid: cidBytes(DAG_PB, block), bytes, total: block.length + below };
}

const field = (number: number, content: number[]): number[] => [number * 8 + 2, ...varint(content.length), ...content];

function varint(value: number): number[] {
  const made: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) made.push((value % 128) + 128);
  return [...made, value];
}

function cidBytes(codec: number, block: Uint8Array): Uint8Array {
  return Uint8Array.from([1, codec, 0x12, 32, ...sha256(block)]);
}

function base32(bytes: Uint8Array): string {
  let made = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) made += ALPHABET.charAt((held >>> (bits - 5)) & 31);
    held &= 31;
  }
  return bits ? made + ALPHABET.charAt((held << (5 - bits)) & 31) : made;
}
