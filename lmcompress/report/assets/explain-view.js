// Shows the text block by block, as they come into view, and tells about the piece pointed at.
const element = (id) => document.getElementById(id);
const made = (tag, className, ...children) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
};
const bits = (value) => (value < 10 ? value.toFixed(2) : value.toFixed(1));
const percent = (p) => (p > 0.995 ? "> 99\u00a0%" : `${(100 * p).toFixed(p < 0.01 ? 2 : p < 0.1 ? 1 : 0)}\u00a0%`);

// Bits per byte at which the colors begin, and differences between two models.
const RATES = [0.1, 0.5, 1, 1.75, 2.5, 3.5, 5, 7.5];
const GAPS = [0.1, 0.5, 1.5, 3];
const rank = (value, edges) => edges.filter((edge) => value >= edge).length;

const view = { unit: "word", show: "0", at: 0, blocks: [] };

const costOf = (sums, from, to) => sums[to] - sums[from];
const classOf = (text, show, from, to) => {
  const [first, second] = text.models;
  if (show === "difference") {
    const gap = (costOf(first.costs, from, to) - costOf(second.costs, from, to)) / (to - from);
    return `${gap < 0 ? "l" : "m"}${rank(Math.abs(gap), GAPS)}`;
  }
  const sums = show === "alone" ? first.alone : text.models[show].costs;
  return `c${rank(costOf(sums, from, to) / (to - from), RATES)}`;
};

// A piece as text: nothing in it is ever read as HTML.
const fillPiece = (node, raw, from, to) => {
  for (let at = from; at < to; ) {
    const length = characterLength(raw, at);
    const [seen, isHidden] = glyph(raw, at, length);
    if (isHidden) node.append(made("span", "hidden-byte", seen));
    else node.append(seen);
    if (raw[at] === 10) node.append("\n");
    at += length || 1;
  }
};

const fillColumn = (text, block, show) => {
  const column = made("div");
  const starts = piecesOf(text, view.unit, block.from, block.to);
  starts.forEach((from, i) => {
    const to = starts[i + 1] ?? block.to;
    const piece = made("span", `unit ${classOf(text, show, from, to)}`);
    piece.dataset.from = from;
    piece.dataset.to = to;
    fillPiece(piece, text.raw, from, to);
    column.append(piece);
  });
  return column;
};

const fill = (text, block) => {
  const shows = view.show === "both" ? ["0", "1"] : [view.show];
  block.node.className = shows.length > 1 ? "block two" : "block";
  block.node.replaceChildren(...shows.map((show) => fillColumn(text, block, show)));
  block.node.style.minHeight = "";
  block.isFull = true;
  markPiece();
};
const empty = (block) => {
  block.node.style.minHeight = `${block.node.offsetHeight}px`;
  block.node.replaceChildren();
  block.isFull = false;
};

const layOut = (text) => {
  const edges = blocksOf(text.raw);
  view.blocks = edges.slice(0, -1).map((from, i) => {
    const node = made("div", "block");
    let lines = 1;
    for (let at = from; at < edges[i + 1]; at++) lines += text.raw[at] === 10 ? 1 : 1 / 90;
    node.style.minHeight = `${Math.round(lines * 1.66)}rem`;
    return { from, to: edges[i + 1], node, isFull: false };
  });
  element("text").append(...view.blocks.map((block) => block.node));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const block = view.blocks.find((one) => one.node === entry.target);
      if (entry.isIntersecting && !block.isFull) fill(text, block);
      else if (!entry.isIntersecting && block.isFull) empty(block);
    }
  }, { rootMargin: "1500px 0px" });
  view.blocks.forEach((block) => near.observe(block.node));
};

const blockAt = (at) => view.blocks.find((block) => at < block.to) ?? view.blocks.at(-1);
const selectedPieces = () =>
  blockAt(view.at).node.querySelectorAll(`[data-from="${view.selected?.from}"]`);
const markPiece = () => {
  document.querySelectorAll(".unit.at").forEach((node) => node.classList.remove("at"));
  if (view.selected) selectedPieces().forEach((node) => node.classList.add("at"));
};

// What is said of a piece.
const chanceOf = (code) =>
  1 / (1 + Math.exp(-(code - layout.chanceMiddle) / layout.chanceSteps));
// Chances are packed coarsely; that of the byte that came follows from its cost.
const guesses = (text, model, at) =>
  model.likeliest
    .map((plane, k) => [plane[at], model.chances[k][at]])
    .filter(([, code]) => code)
    .map(([byte, code]) => {
      const isExact = byte === text.raw[at] && !layout.hasTokens;
      return [byte, isExact ? 2 ** -costOf(model.costs, at, at + 1) : chanceOf(code)];
    });
const byteName = (byte) => (byte === 32 ? "space" : glyph(Uint8Array.of(byte), 0, byte < 128 ? 1 : 0)[0]);
const voices = (model, at) =>
  model.voices
    .map((plane, k) => [plane[at], model.shares[k][at]])
    .filter(([who]) => who !== layout.nobody)
    .map(([who, share]) => `${layout.speakers[who]} (${Math.round((100 * share) / layout.shareSteps)}\u00a0%)`);

const row = (...cells) => made("tr", "", ...cells.map((cell) => made("td", "", cell)));
const headed = (headings, rows) => {
  const heads = headings.map((heading) => {
    const cell = made("th", "", heading);
    cell.scope = "col";
    return cell;
  });
  return made("table", "", made("thead", "", made("tr", "", ...heads)), made("tbody", "", ...rows));
};

const aboutByte = (text, model, at) => {
  const bars = guesses(text, model, at).map(([byte, p]) => {
    const bar = made("span", "bar");
    bar.style.width = `${(6 * p).toFixed(2)}rem`;
    return row(byteName(byte), percent(p), bar);
  });
  const who = voices(model, at);
  return [
    headed(["most expected", "chance", ""], bars),
    made("p", "", who.length ? `It was supported by: ${who.join(", ")}, in % of all support.` : "No predictor supported it."),
  ];
};
const MOST_ROWS = 40;
const aboutBytes = (text, model, from, to) => {
  const rows = [];
  for (let at = from; at < Math.min(to, from + MOST_ROWS); at++) {
    const cost = costOf(model.costs, at, at + 1);
    const [guess] = guesses(text, model, at);
    const said = guess ? `${byteName(guess[0])} ${percent(guess[1])}` : "–";
    rows.push(row(byteName(text.raw[at]), bits(cost), said, voices(model, at)[0] ?? "–"));
  }
  const rest = to - from - MOST_ROWS;
  const more = rest > 0 ? [made("p", "", `and ${rest} more bytes`)] : [];
  return [headed(["byte", "bits", "most expected", "main support"], rows), ...more];
};

const select = (text, from, to) => {
  view.selected = { from, to };
  view.at = from;
  const shown = made("span");
  if (to - from === 1) shown.append(byteName(text.raw[from]));
  else fillPiece(shown, text.raw, from, Math.min(to, from + 60));
  const sentences = text.models.map((model) => {
    const cost = costOf(model.costs, from, to);
    const name = text.models.length > 1 ? `${model.name}: ` : "";
    const each = to - from > 1 ? `, ${bits(cost / (to - from))} per byte` : `, a probability of ${percent(2 ** -cost)}`;
    const alone = model.alone ? `; by the network alone ${bits(costOf(model.alone, from, to))}` : "";
    return `${name}${bits(cost)} bits${each}${alone}.`;
  });
  const place = to - from > 1
    ? `Bytes ${(from + 1).toLocaleString("en")} to ${to.toLocaleString("en")}: `
    : `Byte ${(from + 1).toLocaleString("en")}: `;
  element("said").replaceChildren(place, made("b", "", made("bdi", "", shown)), ` ${sentences.join(" ")}`);
  const model = text.models[view.show === "1" ? 1 : 0];
  element("more").replaceChildren(
    ...(to - from > 1 ? aboutBytes(text, model, from, to) : aboutByte(text, model, from)),
  );
  markPiece();
};

// The place along the curve.
const showPlace = () => {
  const top = element("text").getBoundingClientRect().top;
  const line = document.querySelector(".along").getBoundingClientRect().bottom + 8;
  const block = view.blocks.find((one) => one.node.getBoundingClientRect().bottom > line) ?? view.blocks.at(-1);
  const box = block.node.getBoundingClientRect();
  const part = top > line ? 0 : Math.min(1, Math.max(0, (line - box.top) / Math.max(1, box.height)));
  const at = Math.round(block.from + part * (block.to - block.from));
  element("marker").style.left = `${(100 * at) / size}%`;
  if (document.activeElement !== element("position")) element("position").value = at;
};
const goTo = (text, at) => {
  const block = blockAt(at);
  if (!block.isFull) fill(text, block);
  const bar = document.querySelector(".along").offsetHeight + 8;
  let frames = 8; // until the blocks around it have their true heights
  const reach = () => {
    const box = block.node.getBoundingClientRect();
    window.scrollBy(0, box.top + (box.height * (at - block.from)) / (block.to - block.from) - bar);
    if (--frames) requestAnimationFrame(reach);
  };
  reach();
};
const show = (text, at) => {
  goTo(text, at);
  select(text, ...pieceFrom(text, at));
};

const LEGENDS = {
  difference: () => [
    ["l4", "3 bits per byte cheaper under the first model"], ["l3", "1.5"], ["l2", "0.5"], ["l1", "0.1"],
    ["m0", "alike"], ["m1", "0.1"], ["m2", "0.5"], ["m3", "1.5"], ["m4", "3 bits per byte cheaper under the second"],
  ],
  rate: () => [
    ["c0", `below ${RATES[0]}`],
    ...RATES.map((rate, k) => [`c${k + 1}`, k < RATES.length - 1 ? `${rate} to ${RATES[k + 1]}` : `${rate} and more`]),
  ],
};
const showLegend = () => {
  const rows = view.show === "difference" ? LEGENDS.difference() : LEGENDS.rate();
  const unit = made("span", "legend-unit", view.show === "difference" ? "" : "Bits per byte:");
  element("legend").replaceChildren(unit, ...rows.map(([name, label]) => made("span", `unit ${name}`, label)));
};

const pieceFrom = (text, at) => {
  const block = blockAt(at);
  const starts = piecesOf(text, view.unit, block.from, block.to);
  const k = starts.findLastIndex((start) => start <= at);
  return [starts[k], starts[k + 1] ?? block.to];
};
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
const step = (text, count) => {
  let [from, to] = view.selected ? [view.selected.from, view.selected.to] : [0, 0];
  for (let k = 0; k < Math.abs(count); k++) {
    if (count > 0 ? to >= size : from <= 0) break;
    [from, to] = pieceFrom(text, count > 0 ? to : from - 1);
  }
  return [from, to];
};
const onKey = (text, event) => {
  let piece = null;
  if (event.key in STEPS) piece = step(text, STEPS[event.key]);
  else if (event.key === "Home") piece = pieceFrom(text, 0);
  else if (event.key === "End") piece = pieceFrom(text, size - 1);
  if (!piece) return;
  event.preventDefault();
  select(text, ...piece);
  if (!blockAt(piece[0]).isFull) goTo(text, piece[0]);
  requestAnimationFrame(() => selectedPieces()[0]?.scrollIntoView({ block: "center" }));
};

const listen = (text) => {
  const pick = (event) => {
    const piece = event.target.closest?.(".unit");
    if (piece) select(text, Number(piece.dataset.from), Number(piece.dataset.to));
  };
  let [x, y] = [-1, -1]; // text that scrolls under a mouse at rest is not pointed at
  element("text").addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && (event.clientX !== x || event.clientY !== y)) pick(event);
    [x, y] = [event.clientX, event.clientY];
  });
  element("text").addEventListener("click", pick);
  element("text").addEventListener("keydown", (event) => onKey(text, event));
  element("controls").addEventListener("change", () => {
    const chosen = new FormData(element("controls"));
    [view.unit, view.show] = [chosen.get("unit"), chosen.get("show")];
    showLegend();
    view.selected = view.selected && Object.fromEntries(
      ["from", "to"].map((key, k) => [key, pieceFrom(text, view.selected.from)[k]]));
    view.blocks.filter((block) => block.isFull).forEach((block) => fill(text, block));
    if (view.selected) select(text, view.selected.from, view.selected.to);
  });
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("position").addEventListener("input", (event) => show(text, Number(event.target.value)));
  document.querySelector(".along svg").addEventListener("click", (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    show(text, Math.min(size - 1, Math.floor(((event.clientX - box.left) / box.width) * size)));
  });
  window.addEventListener("scroll", showPlace, { passive: true });
};

const start = async () => {
  const text = readPlanes(await unpacked());
  if (element("alone-choice")) element("alone-choice").hidden = !text.models[0].alone;
  for (const id of ["controls", "legend", "position-label", "hint", "reader", "marker"]) element(id).hidden = false;
  showLegend();
  layOut(text);
  listen(text);
  showPlace();
  document.body.dataset.ready = "yes";
};
start().catch((error) => {
  element("failure").hidden = false;
  element("failure").textContent = `The text cannot be shown: ${error.message}. A browser of 2023 or later is needed.`;
});
