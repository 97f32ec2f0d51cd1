// What the page knows of the text: planes of bytes, as report/explaining/packing.py writes them.
const layout = JSON.parse(document.getElementById("layout").textContent);
const size = layout.bytes;

const unpacked = async () => {
  const binary = atob(document.getElementById("data").textContent);
  const packed = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

const readPlanes = (all) => {
  let at = 0;
  const plane = () => all.subarray(at, (at += size));
  const planes = (count) => Array.from({ length: count }, plane);
  // Sums up to each byte, so that the cost of any part is a difference.
  const sums = (low, high) => {
    const total = new Float64Array(size + 1);
    for (let i = 0; i < size; i++) {
      total[i + 1] = total[i] + (low[i] + 256 * high[i]) / layout.costSteps;
    }
    return total;
  };
  const raw = plane();
  const models = layout.models.map((name) => {
    const starts = plane();
    const costs = sums(plane(), plane());
    const [low, high] = [plane(), plane()];
    const alone = low[0] === 255 && high[0] === 255 ? null : sums(low, high);
    return {
      name, starts, costs, alone,
      likeliest: planes(layout.likeliest), chances: planes(layout.likeliest),
      voices: planes(layout.voices), shares: planes(layout.voices),
    };
  });
  return { raw, models };
};

// The length of the character that begins at a byte, in valid UTF-8; 0 if none does.
const characterLength = (raw, at) => {
  const first = raw[at];
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > raw.length) return 0;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(raw.subarray(at, at + length));
  } catch {
    return 0;
  }
  return length;
};

// Pieces of text: [what is seen, whether it stands for something that has no shape of its own].
const hex = (number, digits) => number.toString(16).toUpperCase().padStart(digits, "0");
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const shapeless = /[\p{C}\p{Zl}\p{Zp}]/u;
const glyph = (raw, at, length) => {
  if (!length) return [`⟨${hex(raw[at], 2)}⟩`, true];
  const character = decoder.decode(raw.subarray(at, at + length));
  if (character === "\n") return ["↵", true];
  if (character === "\t") return ["⇥", true];
  if (character === "\r") return ["←", true];
  if (shapeless.test(character)) return [`⟨U+${hex(character.codePointAt(0), 4)}⟩`, true];
  return [character, false];
};

const isWordByte = (c) =>
  (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95 || c >= 128;

// Where each piece of a kind begins, from one byte to another, which lie between characters.
const piecesOf = (text, unit, from, to) => {
  const { raw } = text;
  const starts = [];
  for (let at = from; at < to; ) {
    const step = characterLength(raw, at) || 1;
    const before = raw[at - 1];
    const begins = {
      character: true,
      token: text.models[0].starts.subarray(at, at + step).includes(1),
      word: !isWordByte(raw[at]) || !isWordByte(before),
      line: before === 10,
    }[unit];
    if (at === from || begins) starts.push(at);
    at += step;
  }
  return starts;
};

// Blocks of some thousand bytes, which end with a line if they can.
const blocksOf = (raw) => {
  const starts = [0];
  for (let at = 0; at < size; ) {
    const next = at + (characterLength(raw, at) || 1);
    const length = next - starts[starts.length - 1];
    if (next < size && ((raw[at] === 10 && length >= 1500) || length >= 4000)) starts.push(next);
    at = next;
  }
  return [...starts, size];
};
