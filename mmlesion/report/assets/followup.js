const fixed = (value, digits) => (value === null ? '–' : value.toFixed(digits));
// rounded first: what rounds to 0 has no sign
const sign = (whole) => (whole < 0 ? '−' : whole > 0 ? '+' : '');
const signed = (value) => (value === null ? '–' : `${sign(Math.round(value))}${Math.abs(value).toFixed(0)} %`);

// Lengths are in mm.
function draw(picture, text) {
  const [width, height] = picture.size;
  const node = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': text });
  node.append(svg('image', { href: picture.source, width, height, preserveAspectRatio: 'none' }));
  const [x1, y1, x2, y2] = picture.box;
  const look = { fill: 'none', 'vector-effect': 'non-scaling-stroke' };
  const box = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
  node.append(svg('rect', { ...box, ...look, stroke: '#ffe14d', 'stroke-width': 1.5 }));
  for (const [number, at] of (picture.ends ? [0, 2] : []).entries()) {
    const [[a, b], [c, d]] = picture.ends.slice(at, at + 2);
    const line = { x1: a, y1: b, x2: c, y2: d, stroke: '#5dff5d', 'stroke-width': number ? 1 : 2 };
    node.append(svg('line', { ...line, ...look }));
  }
  return node;
}

function cellOf(row, when) {
  const picture = row.pictures[when];
  if (!picture) return element('td', {}, when === 'earlier' ? 'not there yet' : 'not found again');
  const text = `lesion ${row[`${when}_id`]}, ${fixed(row[`${when}_mm`], 1)} mm, slice ${picture.sliceAxis} = ${picture.slice}`;
  return element('td', {}, draw(picture, `${when}: ${text}`), text);
}

function rowOf(row) {
  const distance = row.distance_mm === null ? '' : `, ${fixed(row.distance_mm, 1)} mm from its earlier place after registration`;
  const [low, high] = row.window;
  const about = `${row.label}: ${row.status}${distance}; window ${low} to ${high} HU`;
  const node = element('tr', { 'data-status': row.status }, element('td', {}, about));
  node.append(cellOf(row, 'earlier'), cellOf(row, 'later'), element('td', {}, signed(row.change_percent)));
  return node;
}

function fill() {
  const wanted = byId('status').value;
  const rows = data.rows.filter((row) => !wanted || row.status === wanted);
  const head = ['Lesion', 'Earlier', 'Later', 'Change'].map((text) => element('th', { scope: 'col' }, text));
  byId('lesions').replaceChildren(
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...rows.map(rowOf)),
  );
  byId('shown').textContent = `${rows.length} of ${data.rows.length} rows`;
}

const { earlier_mm: before, later_mm: after, change_percent: change, response } = data.total;
byId('studies').textContent = `Earlier: ${data.studies.earlier}. Later: ${data.studies.later}.`;
byId('warnings').replaceChildren(...data.warnings.map((text) => element('p', { class: 'warning' }, text)));
// without a mask a lesion has its box alone
byId('lines').hidden = !data.rows.some((row) => Object.values(row.pictures).some((picture) => picture.ends));
byId('total').textContent =
  `Sum of long diameters: ${fixed(before, 1)} to ${fixed(after, 1)} mm (${signed(change)}), ${response} by RECIST 1.1's limits.`;
byId('status').addEventListener('change', fill);
fill();
