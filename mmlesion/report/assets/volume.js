const AXES = { axial: 2, coronal: 1, sagittal: 0 };
const COLORS = { chosen: '#ffe14d', other: '#80d0ff', diameter: '#5dff5d', mask: '#ff5050' };
const state = { axis: 2, lesion: null, window: 'lesion', zoom: 1, threshold: 0, order: 'score' };
let viewer = null;
// Voxels of all lesions' masks, x fastest, then y; null if there are none.
let masks = null;

const fixed = (value, digits) => value.toFixed(digits);

// ---- places ---------------------------------------------------------------------------------
// Places are fractions of the volume along x (to the right), y (to anterior), z (to superior).

const size = data.size;
const toIndex = (fraction, axis) =>
  Math.max(0, Math.min(size[axis] - 1, Math.floor(fraction * size[axis])));
const toFraction = (index, axis) => (index + 0.5) / size[axis];
// The embedded volume has voxel 0 with its center at 0 mm.
const toMm = (place) => place.map((value, axis) => (value * size[axis] - 0.5) * data.spacing[axis]);
const middle = (box, axis) => (box[axis] + box[axis + 3]) / 2;

function currentIndex(axis) {
  return toIndex(viewer.scene.crosshairPos[axis], axis);
}

function goTo(place) {
  viewer.scene.crosshairPos = place;
  viewer.drawScene();
}

function goToIndex(index) {
  const place = [...viewer.scene.crosshairPos];
  place[state.axis] = toFraction(Math.max(0, Math.min(size[state.axis] - 1, index)), state.axis);
  goTo(place);
}

// ---- the slice and what is drawn over it ------------------------------------------------------

// The position on the canvas of a place on the slice that is shown.
function toCanvas(place) {
  const tile = viewer.screenSlices[0];
  const [left, top, width, height] = tile.leftTopWidthHeight;
  const mm = toMm(place).filter((_, axis) => axis !== state.axis);
  const [x, y] = mm.map((value, i) => (value - tile.leftTopMM[i]) / tile.fovMM[i]);
  return [left + x * width, top + (1 - y) * height];
}

function drawMarks() {
  const canvas = byId('canvas');
  const marks = byId('marks');
  marks.setAttribute('viewBox', `0 0 ${canvas.width} ${canvas.height}`);
  marks.replaceChildren();
  if (!viewer.screenSlices.length) return;
  // The chosen lesion is last, so that it is on top.
  const here = data.lesions.filter((lesion) => isShown(lesion) && crosses(lesion));
  here.sort((a, b) => (a.id === state.lesion) - (b.id === state.lesion));
  for (const lesion of here) {
    if (byId('show-masks').checked && lesion.source === 'mask') drawOutline(marks, lesion);
    if (byId('show-boxes').checked) drawBox(marks, lesion);
    if (byId('show-diameters').checked && lesion.ends && onKeySlice(lesion)) drawEnds(marks, lesion);
  }
  marks.dataset.lesions = here.map((lesion) => lesion.id).join(' ');
  showPosition(here);
}

function crosses(lesion) {
  const index = currentIndex(state.axis);
  const first = toIndex(lesion.box[state.axis], state.axis);
  // The upper face lies between voxels: the last voxel ends there.
  const last = toIndex(lesion.box[state.axis + 3] - 1e-6, state.axis);
  return index >= first && index <= Math.max(first, last);
}

const onKeySlice = (lesion) => state.axis === 2 && currentIndex(2) === lesion.key;

const unit = () => byId('canvas').width / Math.max(1, byId('canvas').clientWidth);

function drawBox(marks, lesion) {
  const [x1, y1] = toCanvas(lesion.box.slice(0, 3));
  const [x2, y2] = toCanvas(lesion.box.slice(3));
  const chosen = lesion.id === state.lesion;
  const look = { fill: 'none', stroke: chosen ? COLORS.chosen : COLORS.other };
  look['stroke-width'] = (chosen ? 2 : 1.5) * unit();
  look['stroke-dasharray'] = chosen ? 'none' : `${5 * unit()} ${3 * unit()}`;
  const x = Math.min(x1, x2);
  const y = Math.min(y1, y2);
  const box = { x, y, width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) };
  marks.append(svg('rect', { 'data-lesion': lesion.id, ...box, ...look }));
  const text = `${lesion.id} ${lesion.label} ${fixed(lesion.score, 2)}`;
  const place = { x, y: Math.max(14 * unit(), y - 5 * unit()), 'font-size': 13 * unit() };
  marks.append(svg('text', place, text));
}

// The edges between px of the lesion's mask and others on the plane, so that the lesion is seen.
function drawOutline(marks, lesion) {
  const axes = [0, 1, 2].filter((axis) => axis !== state.axis);
  const voxel = [0, 0, 0];
  voxel[state.axis] = currentIndex(state.axis);
  const inside = (px) => {
    axes.forEach((axis, i) => (voxel[axis] = px[i]));
    if (axes.some((axis) => voxel[axis] < 0 || voxel[axis] >= size[axis])) return false;
    return masks[voxel[0] + size[0] * (voxel[1] + size[1] * voxel[2])] > 0;
  };
  // Corner n lies at the lower end of px n.
  const cornerAt = (corner) => {
    const place = [...viewer.scene.crosshairPos];
    axes.forEach((axis, i) => (place[axis] = corner[i] / size[axis]));
    return toCanvas(place).map((value) => value.toFixed(1)).join(' ');
  };
  const edges = edgesOf(inside, ...rangesOf(lesion.box, axes));
  const lines = edges.map((ends) => `M${ends.map(cornerAt).join('L')}`);
  const look = { fill: 'none', stroke: COLORS.mask, 'stroke-width': 1.5 * unit() };
  look['stroke-linecap'] = 'square';
  if (lines.length) marks.append(svg('path', { 'data-mask': lesion.id, d: lines.join(''), ...look }));
}

// First and last px of a box along each axis.
function rangesOf(box, axes) {
  return axes.map((axis) => [toIndex(box[axis], axis), toIndex(box[axis + 3] - 1e-6, axis)]);
}

// Both corners of each edge of a px that is inside towards one that is not.
function edgesOf(inside, [left, right], [bottom, top]) {
  const edges = [];
  for (let v = bottom; v <= top; v += 1) {
    for (let u = left; u <= right; u += 1) {
      if (!inside([u, v])) continue;
      if (!inside([u - 1, v])) edges.push([[u, v], [u, v + 1]]);
      if (!inside([u + 1, v])) edges.push([[u + 1, v], [u + 1, v + 1]]);
      if (!inside([u, v - 1])) edges.push([[u, v], [u + 1, v]]);
      if (!inside([u, v + 1])) edges.push([[u, v + 1], [u + 1, v + 1]]);
    }
  }
  return edges;
}

// The ends of the long diameter, then of the short one.
function drawEnds(marks, lesion) {
  [lesion.ends.slice(0, 2), lesion.ends.slice(2)].forEach((ends, number) => {
    const [[x1, y1], [x2, y2]] = ends.map(toCanvas);
    const look = { stroke: COLORS.diameter, 'stroke-width': (number ? 1 : 2) * unit() };
    marks.append(svg('line', { 'data-diameter': lesion.id, x1, y1, x2, y2, ...look }));
    if (number) return;
    const place = { x: Math.max(x1, x2) + 6 * unit(), y: (y1 + y2) / 2, 'font-size': 13 * unit() };
    marks.append(svg('text', place, `${fixed(lesion.diameter, 1)} mm`));
  });
}

function showPosition(here) {
  const index = currentIndex(state.axis);
  byId('slice').value = String(index);
  const number = state.axis === 2 ? data.sliceNumbers[index] : index + 1;
  const name = state.axis === 2 ? `slice ${data.sliceAxis} = ${number}` : `plane ${number}`;
  const { cal_min: low, cal_max: high } = viewer.volumes[0];
  byId('corner').textContent = `${name}   [${Math.round(low)}, ${Math.round(high)}] HU`;
  const ids = here.map((lesion) => lesion.id).join(', ');
  byId('position').textContent =
    `${name}, ${index + 1} of ${size[state.axis]}; ${ids ? `lesions here: ${ids}` : 'no lesion here'}`;
  byId('slice').setAttribute('aria-valuetext', byId('position').textContent);
}

// ---- window, view, zoom -----------------------------------------------------------------------

function currentWindow() {
  const lesion = data.lesions.find((one) => one.id === state.lesion) ?? listed()[0];
  const name = state.window === 'lesion' ? lesion?.window : state.window;
  return data.windows[name ?? Object.keys(data.windows)[0]];
}

function applyWindow() {
  const [low, high] = currentWindow();
  const volume = viewer.volumes[0];
  // All voxels are colored anew, which takes long without a graphics card.
  if (volume.cal_min === low && volume.cal_max === high) return;
  volume.cal_min = low;
  volume.cal_max = high;
  viewer.updateGLVolume();
}

function applyView() {
  state.axis = AXES[byId('view').value];
  byId('slice').max = String(size[state.axis] - 1);
  // NiiVue numbers its views axial, coronal, sagittal.
  viewer.setSliceType(2 - state.axis);
}

// Zooming keeps the crosshair, which is in the chosen lesion, in the middle.
function applyZoom() {
  const center = toMm([0.5, 0.5, 0.5]);
  const cross = toMm([...viewer.scene.crosshairPos]);
  const pan = center.map((value, axis) => (state.zoom > 1 ? value - state.zoom * cross[axis] : 0));
  viewer.setPan2Dxyzmm([...pan, state.zoom]);
}

function zoomBy(factor) {
  state.zoom = Math.max(1, Math.min(16, state.zoom * factor));
  applyZoom();
}

// ---- the table --------------------------------------------------------------------------------

const isShown = (lesion) => lesion.score >= state.threshold;

const ORDERS = {
  score: (a, b) => b.score - a.score,
  diameter: (a, b) => b.diameter - a.diameter,
  slice: (a, b) => a.slice - b.slice,
};

function listed() {
  return data.lesions.filter(isShown).sort(ORDERS[state.order]);
}

function fillTable() {
  const names = ['lesion', 'class', 'score', 'long × short, mm', 'from', `slice ${data.sliceAxis}`];
  const head = [...names, 'center, mm LPS'].map((text) => element('th', { scope: 'col' }, text));
  const rows = listed().map(rowOf);
  byId('lesions').replaceChildren(
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...rows),
  );
  byId('shown').textContent = `${rows.length} of ${data.lesions.length} lesions`;
  byId('threshold-value').textContent = fixed(state.threshold, 2);
}

function rowOf(lesion) {
  const size_mm = `${fixed(lesion.diameter, 1)} × ${fixed(lesion.shortDiameter, 1)}`;
  const center = lesion.center.map((value) => fixed(value, 1)).join(', ');
  const cells = [lesion.label, fixed(lesion.score, 3), size_mm, lesion.source];
  cells.push(String(lesion.slice), center);
  const button = element('button', { 'aria-label': `show lesion ${lesion.id}` }, String(lesion.id));
  const chosen = String(lesion.id === state.lesion);
  const row = element('tr', { 'data-lesion': lesion.id, 'aria-selected': chosen });
  row.append(element('td', {}, button), ...cells.map((text) => element('td', {}, text)));
  row.addEventListener('click', () => choose(lesion.id));
  return row;
}

function choose(id) {
  const lesion = data.lesions.find((one) => one.id === id);
  state.lesion = id;
  for (const row of byId('lesions').querySelectorAll('tbody tr')) {
    row.setAttribute('aria-selected', String(Number(row.dataset.lesion) === id));
  }
  if (!viewer) return;
  const place = [middle(lesion.box, 0), middle(lesion.box, 1), toFraction(lesion.key, 2)];
  applyWindow();
  goTo(place);
  applyZoom();
}

function chooseNext(step) {
  const ids = listed().map((lesion) => lesion.id);
  if (!ids.length) return;
  const at = ids.indexOf(state.lesion);
  const next = at < 0 ? 0 : (at + step + ids.length) % ids.length;
  choose(ids[next]);
}

// ---- controls ---------------------------------------------------------------------------------

const KEYS = {
  ArrowUp: () => goToIndex(currentIndex(state.axis) + 1),
  ArrowRight: () => goToIndex(currentIndex(state.axis) + 1),
  ArrowDown: () => goToIndex(currentIndex(state.axis) - 1),
  ArrowLeft: () => goToIndex(currentIndex(state.axis) - 1),
  PageUp: () => goToIndex(currentIndex(state.axis) + 10),
  PageDown: () => goToIndex(currentIndex(state.axis) - 10),
  Home: () => goToIndex(size[state.axis] - 1),
  End: () => goToIndex(0),
  '+': () => zoomBy(1.5),
  '-': () => zoomBy(1 / 1.5),
  n: () => chooseNext(1),
  p: () => chooseNext(-1),
};

function listen() {
  // Before NiiVue's own keys, which turn to other views and volumes.
  byId('viewer').addEventListener(
    'keydown',
    (event) => {
      event.stopPropagation();
      const action = KEYS[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    },
    true,
  );
  byId('slice').addEventListener('input', (event) => goToIndex(Number(event.target.value)));
  byId('window').addEventListener('change', (event) => {
    state.window = event.target.value;
    applyWindow();
  });
  byId('view').addEventListener('change', applyView);
  byId('closer').addEventListener('click', () => zoomBy(1.5));
  byId('farther').addEventListener('click', () => zoomBy(1 / 1.5));
  for (const name of ['boxes', 'diameters', 'masks']) {
    byId(`show-${name}`).addEventListener('change', drawMarks);
  }
}

byId('threshold').addEventListener('input', (event) => {
  state.threshold = Number(event.target.value);
  fillTable();
  if (viewer) drawMarks();
});
byId('order').addEventListener('change', (event) => {
  state.order = event.target.value;
  fillTable();
});

// ---- start ------------------------------------------------------------------------------------

function describeVolume() {
  document.title = data.title;
  byId('title').textContent = data.title;
  byId('volume').textContent = data.description;
  byId('bound').textContent = data.bound;
  byId('masks-label').hidden = !data.masks;
  byId('window').append(element('option', { value: 'lesion' }, "the lesion's"));
  for (const [name, [low, high]] of Object.entries(data.windows)) {
    byId('window').append(element('option', { value: name }, `${name} [${low}, ${high}]`));
  }
  const highest = Math.max(1, ...data.lesions.map((lesion) => lesion.score));
  byId('threshold').max = String(highest);
  fillTable();
}

async function openViewer() {
  const options = { isRadiologicalConvention: true, crosshairWidth: 0, dragAndDropEnabled: false };
  options.dragMode = niivue.DRAG_MODE.windowing;
  options.showAllOrientationMarkers = true;
  options.fontColor = [1, 1, 1, 1];
  options.logLevel = 'error';
  const opened = new niivue.Niivue({ ...options, sliceType: niivue.SLICE_TYPE.AXIAL });
  await opened.attachToCanvas(byId('canvas'));
  const base = { base64: data.volume, name: 'volume.nii.gz', colormap: 'gray' };
  const [low, high] = currentWindow();
  opened.addVolume(await niivue.NVImage.loadFromBase64({ ...base, cal_min: low, cal_max: high }));
  if (data.masks) {
    const image = await niivue.NVImage.loadFromBase64({ base64: data.masks, name: 'masks.nii.gz' });
    masks = image.img;
  }
  return opened;
}

async function begin() {
  describeVolume();
  if (!document.createElement('canvas').getContext('webgl2')) {
    byId('failure').textContent =
      'This browser has no WebGL 2, which the slices need; the table stands without them.';
    return;
  }
  byId('position').textContent = 'The slices are being loaded …';
  viewer = await openViewer();
  // Whatever moves the slice, NiiVue draws it by this method: the marks follow.
  const draw = viewer.drawScene.bind(viewer);
  viewer.drawScene = () => {
    const result = draw();
    drawMarks();
    return result;
  };
  applyView();
  listen();
  if (data.lesions.length) choose(data.lesions[0].id);
  else goToIndex(Math.floor(size[2] / 2));
  document.body.dataset.ready = 'yes';
}

begin().catch((error) => {
  byId('position').textContent = '';
  byId('failure').textContent = `The slices cannot be shown: ${error.message ?? error}`;
});
