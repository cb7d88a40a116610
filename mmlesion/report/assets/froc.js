const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];
const DASHES = ['none', '7 3', '2 3', '9 3 2 3', '12 4', '4 4'];
const KINDS = [
  { letters: 'N', color: '#b0b0b0', dash: '5 1.5 1 1.5', meaning: 'detection that counts neither way' },
  { letters: 'TP', color: '#4dff4d', dash: 'none', meaning: 'true positive (solid)' },
  { letters: 'FP', color: '#ff6b6b', dash: '4 2', meaning: 'false positive (dashed)' },
];
const MISSED = { letters: 'FN', color: '#ffd92f', dash: '1 1.5', meaning: 'missed lesion (dotted)' };
const TRUTH = { letters: '', color: '#80d0ff', dash: 'none', meaning: 'found lesion as annotated (thin)' };
const IGNORED = { letters: 'IGN', color: '#b0b0b0', dash: 'none', meaning: 'ignored ground truth' };
const MOST_CARDS = 60;
const MOST_ROWS = 300;
const ORDERS = {
  fp: { score: 'score', name: 'file name' },
  missed: { size: 'size', score: 'best score', name: 'file name' },
  doubtful: { overlap: 'overlap', score: 'score', size: 'size', name: 'file name' },
};

const low = Math.log2(data.bandRates[0]);
const high = Math.log2(data.bandRates[data.bandRates.length - 1]);
const counted = data.lesions.ignored.map((ignored, i) => (ignored ? -1 : i)).filter((i) => i >= 0);
const state = { run: 0, rate: 1, question: 'fp', order: 'score', card: null };
let cards = [];

// ---- counting -------------------------------------------------------------------------------

// Scores are in descending order.
function countAtLeast(scores, threshold) {
  let first = 0;
  let last = scores.length;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (scores[middle] >= threshold) first = middle + 1;
    else last = middle;
  }
  return first;
}

function foundAtLeast(run, threshold, lesions) {
  return lesions.filter((i) => run.foundScore[i] !== null && run.foundScore[i] >= threshold).length;
}

function fpRate(run, threshold) {
  return countAtLeast(run.scores.fp, threshold) / data.cases;
}

// The lowest score with at most this many false positives per image or scan.
function thresholdAt(run, rate) {
  const allowed = Math.floor(rate * data.cases + 1e-9);
  const scores = run.allScores;
  if (!scores.length) return 0;
  if (allowed >= run.scores.fp.length) return scores[scores.length - 1];
  const above = countAtLeast(scores, nextUp(run.scores.fp[allowed]));
  return above ? scores[above - 1] : nextUp(scores[0]);
}

function nextUp(score) {
  return score + 1e-9;
}

function curveOf(run) {
  const found = counted.map((i) => run.foundScore[i]).filter((score) => score !== null);
  found.sort((a, b) => b - a);
  const thresholds = [...new Set([...run.scores.fp, ...found])].sort((a, b) => b - a);
  return thresholds.map((threshold) => [
    fpRate(run, threshold),
    countAtLeast(found, threshold) / counted.length,
  ]);
}

for (const run of data.runs) {
  run.allScores = [...run.scores.tp, ...run.scores.fp, ...run.scores.neutral];
  run.allScores.sort((a, b) => b - a);
  run.curve = curveOf(run);
}

function fillTable(table, header, rows) {
  const head = element('tr', {}, ...header.map((text) => element('th', { scope: 'col' }, text)));
  const body = rows.map(({ cells, selected }) => {
    const row = element('tr', selected ? { class: 'selected' } : {});
    row.append(...cells.map((text) => element('td', {}, text)));
    return row;
  });
  table.replaceChildren(element('thead', {}, head), element('tbody', {}, ...body));
}

const fixed = (value, digits = 3) => (value === null ? '–' : value.toFixed(digits));
const signed = (value) => (value < 0 ? '−' : '+') + Math.abs(value).toFixed(3);

// ---- the curve ------------------------------------------------------------------------------

const FRAME = { left: 50, right: 640, top: 12, bottom: 380 };
const toX = (rate) => {
  const share = (Math.log2(Math.max(rate, data.bandRates[0])) - low) / (high - low);
  return FRAME.left + Math.min(share, 1) * (FRAME.right - FRAME.left);
};
const toY = (value) => FRAME.bottom - value * (FRAME.bottom - FRAME.top);
const points = (pairs) => pairs.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');

function drawCurves() {
  const picture = svg('svg', { viewBox: '0 0 650 430', role: 'img', 'aria-label': 'FROC curves' });
  drawGrid(picture);
  data.runs.forEach((run, number) => drawRun(picture, run, number));
  const line = { id: 'marker', class: 'axis', 'stroke-dasharray': '3 3' };
  picture.append(svg('line', { ...line, y1: FRAME.top, y2: FRAME.bottom }));
  byId('curve').replaceChildren(picture, legendOfRuns());
}

function drawGrid(picture) {
  for (let power = low; power <= high; power += 1) {
    const x = toX(2 ** power);
    picture.append(svg('line', { class: 'grid', x1: x, x2: x, y1: FRAME.top, y2: FRAME.bottom }));
    const label = power < 0 ? `1/${2 ** -power}` : `${2 ** power}`;
    picture.append(svg('text', { x, y: FRAME.bottom + 17, 'text-anchor': 'middle' }, label));
  }
  for (let step = 0; step <= 10; step += 2) {
    const y = toY(step / 10);
    picture.append(svg('line', { class: 'grid', x1: FRAME.left, x2: FRAME.right, y1: y, y2: y }));
    picture.append(svg('text', { x: FRAME.left - 7, y: y + 4, 'text-anchor': 'end' }, fixed(step / 10, 1)));
  }
  const middle = (FRAME.left + FRAME.right) / 2;
  picture.append(svg('text', { x: middle, y: FRAME.bottom + 38, 'text-anchor': 'middle' }, `false positives per ${data.item}`));
  const turn = `translate(13 ${(FRAME.top + FRAME.bottom) / 2}) rotate(-90)`;
  picture.append(svg('text', { transform: turn, 'text-anchor': 'middle' }, 'sensitivity'));
}

function drawRun(picture, run, number) {
  const color = COLORS[number % COLORS.length];
  const upper = data.bandRates.map((rate, i) => [toX(rate), toY(run.band.upper[i])]);
  const lower = data.bandRates.map((rate, i) => [toX(rate), toY(run.band.lower[i])]);
  const band = points([...upper, ...lower.reverse()]);
  picture.append(svg('polygon', { points: band, fill: color, 'fill-opacity': 0.13 }));
  // Where the curve is left of the frame it rises along its edge; only the last such point is kept.
  const inside = run.curve.filter(([rate], i) => {
    const next = run.curve[i + 1];
    return rate <= data.bandRates[data.bandRates.length - 1] && (!next || next[0] >= data.bandRates[0]);
  });
  const steps = inside.map(([rate, value]) => [toX(rate), toY(value)]);
  const look = { fill: 'none', stroke: color, 'stroke-width': 2 };
  look['stroke-dasharray'] = DASHES[number % DASHES.length];
  picture.append(svg('polyline', { points: points(steps), ...look }));
}

function legendOfRuns() {
  const legend = element('p', { class: 'note' });
  data.runs.forEach((run, number) => {
    const sample = svg('svg', { width: 34, height: 10, 'aria-hidden': 'true' });
    const look = { stroke: COLORS[number % COLORS.length], 'stroke-width': 2.5 };
    look['stroke-dasharray'] = DASHES[number % DASHES.length];
    sample.append(svg('line', { x1: 0, x2: 32, y1: 5, y2: 5, ...look }));
    legend.append(sample, ` ${run.name}   `);
  });
  return legend;
}

// ---- what follows the operating point ---------------------------------------------------------

function update() {
  const run = data.runs[state.run];
  state.threshold = thresholdAt(run, state.rate);
  byId('run').value = String(state.run);
  byId('question').value = state.question;
  byId('threshold').value = String(Math.round((1000 * (Math.log2(state.rate) - low)) / (high - low)));
  const rate = fpRate(run, state.threshold);
  const spoken = `score at least ${fixed(state.threshold)}, ${fixed(rate, 2)} false positives per ${data.item}`;
  byId('threshold').setAttribute('aria-valuetext', spoken);
  byId('threshold-value').textContent = fixed(state.threshold);
  const marker = document.getElementById('marker');
  marker.setAttribute('x1', toX(state.rate));
  marker.setAttribute('x2', toX(state.rate));
  fillOperatingPoint();
  fillGroups(run);
  drawHistogram(run);
  if (data.tables) fillFindings(run);
  else fillGallery(run);
  rememberState();
}

function fillOperatingPoint() {
  const header = ['Run', 'score ≥', `FP per ${data.item}`, 'found', 'sensitivity'];
  const rows = data.runs.map((run, number) => {
    const threshold = thresholdAt(run, state.rate);
    const found = foundAtLeast(run, threshold, counted);
    const cells = [run.name, fixed(threshold), fixed(fpRate(run, threshold), 2)];
    cells.push(`${found} of ${counted.length}`, fixed(found / counted.length));
    return { cells, selected: number === state.run };
  });
  fillTable(byId('operating-point'), header, rows);
}

function fillGroups(run) {
  const names = Object.keys(data.groups);
  byId('groups-section').hidden = !names.length;
  const rows = names.map((name) => {
    const lesions = data.groups[name].filter((i) => !data.lesions.ignored[i]);
    const found = foundAtLeast(run, state.threshold, lesions);
    const share = lesions.length ? fixed(found / lesions.length) : '–';
    return { cells: [name, String(lesions.length), String(found), share] };
  });
  fillTable(byId('groups'), ['Group', 'lesions', 'found', 'sensitivity'], rows);
}

function fillComparison() {
  const reference = data.runs[0].name;
  const header = ['Run', ...data.fpRates.map(String), 'mean', '95 % interval'];
  if (data.runs.length > 1) header.push(`difference from ${reference}`, 'p');
  const rows = data.comparison.map((row) => {
    const cells = [row.name, ...row.value.map((value) => fixed(value))];
    cells.push(row.interval.map((bound) => fixed(bound)).join(' to '));
    if (row.difference) {
      const [value, lower, upper, p] = row.difference;
      cells.push(`${signed(value)} (${signed(lower)} to ${signed(upper)})`, fixed(p));
    } else if (data.runs.length > 1) cells.push('reference', '');
    return { cells };
  });
  fillTable(byId('comparison'), header, rows);
}

function drawHistogram(run) {
  const bins = 40;
  const least = Math.min(0, run.allScores[run.allScores.length - 1] ?? 0);
  const most = Math.max(1, run.allScores[0] ?? 1);
  const toBin = (score) => Math.min(bins - 1, Math.floor(((score - least) / (most - least)) * bins));
  const picture = svg('svg', { viewBox: '0 0 650 190', role: 'img' });
  picture.setAttribute('aria-label', 'Histogram of scores of true and false positives');
  const counts = ['tp', 'fp'].map((kind) => {
    const bars = new Array(bins).fill(0);
    for (const score of run.scores[kind]) bars[toBin(score)] += 1;
    return bars;
  });
  const top = Math.log10(1 + Math.max(1, ...counts.flat()));
  const x = (position) => 50 + position * 590;
  const y = (count) => 150 - (130 * Math.log10(1 + count)) / top;
  for (let count = 1; Math.log10(1 + count) <= top; count *= 10) {
    picture.append(svg('line', { class: 'grid', x1: 50, x2: 640, y1: y(count), y2: y(count) }));
    picture.append(svg('text', { x: 44, y: y(count) + 4, 'text-anchor': 'end' }, String(count)));
  }
  counts.forEach((bars, number) => {
    const steps = bars.flatMap((count, i) => [[x(i / bins), y(count)], [x((i + 1) / bins), y(count)]]);
    const look = { fill: 'none', stroke: number ? COLORS[1] : COLORS[0], 'stroke-width': 2 };
    look['stroke-dasharray'] = number ? '5 3' : 'none';
    picture.append(svg('polyline', { points: points(steps), ...look }));
  });
  for (let step = 0; step <= 5; step += 1) {
    const score = least + ((most - least) * step) / 5;
    picture.append(svg('text', { x: x(step / 5), y: 167, 'text-anchor': 'middle' }, fixed(score, 1)));
  }
  const at = x((state.threshold - least) / (most - least));
  picture.append(svg('line', { class: 'axis', 'stroke-dasharray': '3 3', x1: at, x2: at, y1: 14, y2: 150 }));
  const note = element('p', { class: 'note' });
  note.textContent = `${run.name}: true positives solid, false positives dashed, threshold dotted; logarithmic counts`;
  byId('histogram').replaceChildren(picture, note);
}

// ---- pictures, or a table of what scans have -------------------------------------------------------------------------------

function itemsOf(run) {
  return data.pictures.flatMap((picture) => {
    if (state.question === 'fp') return falsePositives(picture);
    return picture.lesions.filter((i) => !data.lesions.ignored[i] && asked(run, i)).map((i) => ({
      picture,
      box: shifted(data.lesions.box[i], picture.shift),
      score: run.foundScore[i],
      overlap: run.overlap[i],
      size: data.sizes[i],
    }));
  });
}

function asked(run, lesion) {
  const score = run.foundScore[lesion];
  const found = score !== null && score >= state.threshold;
  return state.question === 'missed' ? !found : found;
}

function falsePositives(picture) {
  const detections = picture.detections[state.run];
  const wrong = detections.filter((one) => one.kind === 2 && one.score >= state.threshold);
  return wrong.map((one) => ({ picture, box: one.box, score: one.score }));
}

const shifted = (box, shift) => box.map((value) => value + shift);

function inOrder(items) {
  const best = (item) => item.score ?? -Infinity;
  const compare = {
    name: (a, b) => nameOf(a).localeCompare(nameOf(b)),
    size: (a, b) => b.size - a.size,
    overlap: (a, b) => a.overlap - b.overlap,
    score: state.question === 'fp' ? (a, b) => best(b) - best(a) : (a, b) => (best(a) < best(b) ? -1 : Number(best(a) > best(b))),
  };
  return items.sort(compare[state.order]);
}

const nameOf = (item) => item.name ?? item.picture.name;

function rowsOf(run) {
  const { lesions, falsePositives: wrong } = data.tables;
  if (state.question === 'fp') return wrong[state.run].filter((one) => one.score >= state.threshold);
  const those = counted.filter((i) => asked(run, i));
  return those.map((i) => ({
    name: lesions.name[i],
    place: lesions.place[i],
    size: data.sizes[i],
    score: run.foundScore[i],
    overlap: run.overlap[i],
  }));
}

function fillFindings(run) {
  fillOrders();
  const items = inOrder(rowsOf(run));
  const shown = items.slice(0, MOST_ROWS);
  const header = [data.item, 'place', 'score'];
  if (state.question !== 'fp') header.push(`size, ${data.sizeUnit}`, 'overlap');
  const rows = shown.map(({ name, place, score, size, overlap }) => {
    const cells = [name, place, score === null ? 'never detected' : fixed(score)];
    if (state.question !== 'fp') cells.push(fixed(size, 1), fixed(overlap, 2));
    return { cells };
  });
  fillTable(byId('findings'), header, rows);
  const total = state.question === 'fp' ? countAtLeast(run.scores.fp, state.threshold) : items.length;
  byId('shown').textContent = `${shown.length} of ${total}`;
}

function fillOrders() {
  const orders = ORDERS[state.question];
  if (!(state.order in orders)) [state.order] = Object.keys(orders);
  const options = Object.entries(orders).map(([value, text]) => element('option', { value }, text));
  byId('order').replaceChildren(...options);
  byId('order').value = state.order;
}

function fillGallery(run) {
  fillOrders();
  const items = inOrder(itemsOf(run));
  cards = items.slice(0, MOST_CARDS);
  byId('shown').textContent = `${cards.length} of ${items.length} on the ${data.pictures.length} slices of this page`;
  byId('gallery').replaceChildren(...cards.map(cardOf));
}

function cardOf(item, number) {
  const text = describe(item);
  const card = element('button', { class: 'card', 'aria-label': `${item.picture.name}, ${text}` });
  card.append(draw(item, true), element('span', {}, item.picture.name), element('span', {}, text));
  card.addEventListener('click', () => openCard(number));
  return card;
}

function describe(item) {
  const parts = [];
  const word = state.question === 'missed' ? 'found first at score' : 'score';
  parts.push(item.score === null ? 'never detected' : `${word} ${fixed(item.score)}`);
  if (item.overlap !== undefined && item.overlap !== null) parts.push(`overlap ${fixed(item.overlap, 2)}`);
  if (item.size !== undefined) parts.push(`${fixed(item.size, 0)} ${data.sizeUnit}`);
  return parts.join(', ');
}

function draw(item, close) {
  const { picture } = item;
  const view = close ? around(item.box, picture) : [0, 0, picture.width, picture.height];
  const node = svg('svg', { class: 'picture', viewBox: view.join(' '), role: 'img' });
  node.setAttribute('aria-label', `slice ${picture.name}`);
  const size = { width: picture.width, height: picture.height };
  node.append(svg('image', { href: picture.source, ...size }));
  const letters = view[2] / 26;
  node.append(pointer(item.box, view[2] / 60));
  for (const i of picture.lesions) drawBox(node, shifted(data.lesions.box[i], picture.shift), styleOfLesion(i), letters);
  for (const one of [...picture.detections[state.run]].reverse()) {
    if (one.score >= state.threshold) drawBox(node, one.box, KINDS[one.kind], letters, one.score);
  }
  return node;
}

// A square of at least 96 px, or four times the box, within the slice as far as it goes.
function around(box, picture) {
  const [x1, y1, x2, y2] = box;
  const most = Math.min(picture.width, picture.height);
  const side = Math.min(most, Math.max(96, 4 * (x2 - x1), 4 * (y2 - y1)));
  const start = (middle, length) => Math.max(0, Math.min(length - side, middle - side / 2));
  return [start((x1 + x2) / 2, picture.width), start((y1 + y2) / 2, picture.height), side, side];
}

// What the card is about stands in a thin white frame.
function pointer(box, gap) {
  const [x1, y1, x2, y2] = box;
  const size = { x: x1 - gap, y: y1 - gap, width: x2 - x1 + 2 * gap, height: y2 - y1 + 2 * gap };
  return svg('rect', { ...size, fill: 'none', stroke: '#fff', 'stroke-opacity': 0.55, 'vector-effect': 'non-scaling-stroke' });
}

function styleOfLesion(lesion) {
  if (data.lesions.ignored[lesion]) return IGNORED;
  const score = data.runs[state.run].foundScore[lesion];
  return score !== null && score >= state.threshold ? TRUTH : MISSED;
}

function drawBox(node, box, style, letters, score) {
  const [x1, y1, x2, y2] = box;
  const look = { fill: 'none', stroke: style.color, 'vector-effect': 'non-scaling-stroke' };
  look['stroke-width'] = style === TRUTH ? 1 : 2;
  look['stroke-dasharray'] = style.dash;
  node.append(svg('rect', { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), ...look }));
  if (!style.letters) return;
  const text = score === undefined ? style.letters : `${style.letters} ${score.toFixed(2)}`;
  const y = score === undefined ? y2 + 1.1 * letters : y1 - 0.3 * letters;
  node.append(svg('text', { x: x1, y, 'font-size': letters }, text));
  node.lastChild.style.fontSize = `${letters}px`;
}

// ---- the large picture ------------------------------------------------------------------------

function openCard(number) {
  if (!cards.length) return;
  state.card = (number + cards.length) % cards.length;
  const item = cards[state.card];
  byId('viewer-title').textContent = item.picture.name;
  byId('viewer-text').textContent = `${describe(item)}; window ${item.picture.window.join(' to ')} HU`;
  byId('viewer-picture').replaceChildren(draw(item, false));
  if (!byId('viewer').open) byId('viewer').showModal();
  rememberState();
}

byId('viewer').addEventListener('close', () => {
  const card = byId('gallery').children[state.card];
  state.card = null;
  if (card) card.focus();
  rememberState();
});
byId('viewer').addEventListener('keydown', (event) => {
  if (event.key === 'ArrowRight') openCard(state.card + 1);
  if (event.key === 'ArrowLeft') openCard(state.card - 1);
});
byId('next').addEventListener('click', () => openCard(state.card + 1));
byId('previous').addEventListener('click', () => openCard(state.card - 1));
byId('close').addEventListener('click', () => byId('viewer').close());

// ---- controls, and the address that repeats a view ----------------------------------------------

function rememberState() {
  const view = { run: state.run, fp: state.rate.toPrecision(4), show: state.question, sort: state.order };
  if (state.card !== null) view.card = state.card;
  history.replaceState(null, '', `#${new URLSearchParams(view)}`);
}

function recallState() {
  const view = new URLSearchParams(location.hash.slice(1));
  const run = Number(view.get('run') ?? 0);
  if (run in data.runs) state.run = run;
  const rate = Number(view.get('fp') ?? 1);
  if (rate >= data.bandRates[0] && rate <= 2 ** high) state.rate = rate;
  const asks = [...byId('question').options].map((option) => option.value);
  if (asks.includes(view.get('show'))) state.question = view.get('show');
  if (view.has('sort')) state.order = view.get('sort');
  return view.has('card') ? Number(view.get('card')) : null;
}

byId('threshold').addEventListener('input', (event) => {
  state.rate = 2 ** (low + (event.target.value / 1000) * (high - low));
  update();
});
byId('run').addEventListener('change', (event) => {
  state.run = Number(event.target.value);
  update();
});
byId('question').addEventListener('change', (event) => {
  state.question = event.target.value;
  update();
});
byId('order').addEventListener('change', (event) => {
  state.order = event.target.value;
  update();
});

function begin() {
  document.title = data.title;
  byId('title').textContent = data.title;
  byId('test-set').textContent =
    `${data.cases} ${data.item}s of ${data.patients} patients, ${counted.length} lesions; intervals from ${data.draws} draws of patients`;
  byId('run').append(...data.runs.map((run, i) => element('option', { value: i }, run.name)));
  byId('comparison-heading').textContent = `Sensitivity at false positives per ${data.item}`;
  byId('levels').append(`FP per ${data.item}: `);
  for (const rate of data.fpRates) {
    const button = element('button', {}, String(rate));
    button.addEventListener('click', () => {
      state.rate = rate;
      update();
    });
    byId('levels').append(button);
  }
  // Marks have no extent that could overlap.
  const overlaps = data.runs.flatMap((run) => run.overlap);
  if (data.tables && !overlaps.some((overlap) => overlap !== null)) {
    byId('question').querySelector('[value=doubtful]').remove();
  }
  byId('no-pictures').textContent = data.tables?.why ?? '';
  byId('legend').hidden = Boolean(data.tables);
  byId('legend').textContent =
    [KINDS[1], KINDS[2], MISSED, TRUTH, KINDS[0], IGNORED].map((one) => `${one.letters} ${one.meaning}`.trim()).join(' · ');
  const card = recallState();
  drawCurves();
  fillComparison();
  update();
  if (card !== null) openCard(card);
}

begin();
