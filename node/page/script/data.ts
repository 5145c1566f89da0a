// The data of a page, as its script element has it: what the node says. Everything else follows from it.

export interface Circ {
  kind: number;
  operator: string;
  to: string;
  form: string;
  salt: string; // empty where the node has forgotten salt and form
  trans_id: string;
  tx_hash: string | null;
  times: number | null;
  status: string;
  time: number;
  by_block: boolean;
}

export interface Data {
  language: "en" | "zh";
  goods: number;
  chain: string;
  contract: string;
  endpoint: string;
  left_out: number;
  hinted: boolean;
  parties: Record<string, [nickname: string, registered: string | null]>;
  files: Record<string, [name: string, type: string, picture: boolean, size: number]>;
  circs: Circ[];
}

export const PRODUCE = 0;
export const TRANSFER = 3;
export const EXAM = 4;
const HASH = /^0x[0-9a-f]{64}$/;

const isText = (value: unknown): value is string => typeof value === "string";
const isWhole = (value: unknown): boolean => Number.isSafeInteger(value);

// Whether a value has the shape of a page's data; what it says may still be a lie.
export function isData(value: unknown): value is Data {
  const data = value as Data | null;
  return (
    typeof data === "object" && data !== null &&
    (data.language === "en" || data.language === "zh") &&
    isWhole(data.goods) && data.goods > 0 && data.goods < 2 ** 31 &&
    isText(data.chain) && /^[0-9]+$/.test(data.chain) &&
    isText(data.contract) && /^0x[0-9a-fA-F]{40}$/.test(data.contract) &&
    isText(data.endpoint) && isWhole(data.left_out) && data.left_out >= 0 &&
    typeof data.hinted === "boolean" &&
    typeof data.parties === "object" && data.parties !== null &&
    Object.values(data.parties).every((one) => isText(one[0]) && (one[1] === null || HASH.test(one[1]))) &&
    typeof data.files === "object" && data.files !== null &&
    Object.values(data.files).every((one) => isText(one[0]) && isText(one[1]) && isWhole(one[3])) &&
    Array.isArray(data.circs) && data.circs.every(isCirc)
  );
}

function isCirc(circ: Circ): boolean {
  return (
    isWhole(circ.kind) && isText(circ.operator) && isText(circ.to) && isText(circ.form) &&
    isText(circ.salt) && /^([0-9a-f]{32})?$/.test(circ.salt) && isText(circ.trans_id) && HASH.test(circ.trans_id) &&
    (circ.tx_hash === null || (isText(circ.tx_hash) && HASH.test(circ.tx_hash))) &&
    (circ.times === null || isWhole(circ.times)) && isText(circ.status) && isWhole(circ.time) &&
    typeof circ.by_block === "boolean"
  );
}
