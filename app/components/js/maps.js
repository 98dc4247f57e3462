// Where each exit looked: maps over the picture, as heat, as contours, or behind a wipe, on one scale
// for all exits or each on its own. Nothing here goes back to Python.

const LEVELS = [0.3, 0.7];
const LARGE = 448; // pixels of a side that contours are drawn on
const LINE = 3;
const KEPT = 'early-exit-maps';
const START = { view: 'heat', scale: 'shared', strength: 80, wipe: 50 };

function remembered() {
  try {
    return { ...START, ...JSON.parse(sessionStorage.getItem(KEPT)) };
  } catch {
    return { ...START };
  }
}

// Put other children in the place of an element's, and the focus on the like of what had it.
function renew(element, children) {
  const active = element.getRootNode().activeElement;
  const held = element.contains(active) ? active.dataset.held : null;
  element.replaceChildren(...children);
  if (held) element.querySelector(`[data-held="${held}"]`)?.focus({ preventScroll: true });
}

// Strengths (from 0 to 1 of the map's own largest) of a grey picture, drawn at a size of one's choice.
function strengths(grey, side) {
  const canvas = make('canvas');
  canvas.width = side ?? grey.naturalWidth;
  canvas.height = side ?? grey.naturalHeight;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(grey, 0, 0, canvas.width, canvas.height);
  const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
  return { values: Float32Array.from({ length: width * height }, (_, at) => data[4 * at] / 255), width, height };
}

function heat({ values, width, height }, share, colours) {
  const image = new ImageData(width, height);
  values.forEach((own, at) => {
    const value = own * share;
    const place = value * (colours.length - 1);
    const low = Math.min(Math.floor(place), colours.length - 2);
    for (let part = 0; part < 3; part++) {
      image.data[4 * at + part] = colours[low][part] + (place - low) * (colours[low + 1][part] - colours[low][part]);
    }
    image.data[4 * at + 3] = 255 * Math.min(value * 1.6, 1);
  });
  return image;
}

// A line where strengths cross a level: bright inside, dark outside, so that it shows on any picture.
function contours({ values, width, height }, share, colours) {
  const image = new ImageData(width, height);
  LEVELS.forEach((level, index) => {
    const bright = index ? colours.at(-1) : [255, 255, 255];
    const inside = values.map((value) => value * share >= level);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        const beside = [
          x >= LINE ? inside[at - LINE] : inside[at],
          x + LINE < width ? inside[at + LINE] : inside[at],
          y >= LINE ? inside[at - LINE * width] : inside[at],
          y + LINE < height ? inside[at + LINE * width] : inside[at],
        ];
        if (beside.every((one) => one === inside[at])) continue;
        image.data.set(inside[at] ? [...bright, 255] : [0, 0, 0, 160], 4 * at);
      }
    }
  });
  return image;
}

function choice(label, options, chosen, choose) {
  const group = make('div', 'choice', make('span', '', label));
  group.setAttribute('role', 'group');
  group.setAttribute('aria-label', label);
  for (const [value, title, help] of options) {
    const button = make('button', '', title);
    button.type = 'button';
    button.title = help;
    button.setAttribute('aria-pressed', String(value === chosen));
    button.dataset.held = value;
    button.onclick = () => choose(value);
    group.append(button);
  }
  return group;
}

function slider(label, value, move) {
  const input = make('input');
  Object.assign(input, { type: 'range', min: 0, max: 100, value });
  const shown = make('output', '', `${value} %`);
  input.oninput = () => {
    shown.textContent = `${input.value} %`;
    move(Number(input.value));
  };
  return make('label', 'slider', make('span', '', label), input, shown);
}

class Maps {
  constructor(root) {
    this.root = root;
    this.pictures = new Map(); // decoded pictures by their URIs
    this.chosen = remembered();
    this.tools = make('div', 'tools');
    this.figures = make('div', 'figures');
    this.says = make('div', 'stale-says');
    this.says.setAttribute('role', 'status');
    this.large = make('dialog', 'large');
    root.append(this.tools, this.says, this.figures, this.large);
    this.large.onclick = (event) => {
      if (event.target === this.large) this.large.close();
    };
    this.large.onclose = () => {
      this.enlarged = null;
    };
    this.large.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && event.target.type !== 'range') this.enlarge(this.enlarged + step);
    };
  }

  // Until the server has begun with another method, the maps of the one before are still there.
  outdate(event) {
    const option = event.target.closest?.('.st-key-saliency button');
    if (!option || option.getAttribute('aria-checked') === 'true') return;
    this.says.textContent = this.data.words.stale;
    this.root.classList.add('stale');
  }

  async show(data) {
    this.root.classList.remove('stale');
    const told = JSON.stringify(data);
    if (told === this.told) return; // the page ran anew, and the hand may be on a picture
    this.told = told;
    this.data = data;
    const needed = [data.image, ...data.maps.map((one) => one.map)].filter(Boolean);
    await Promise.all(needed.map((uri) => this.decoded(uri)));
    for (const uri of this.pictures.keys()) if (!needed.includes(uri)) this.pictures.delete(uri);
    if (this.data === data) this.draw(); // nothing newer has come meanwhile
  }

  async decoded(uri) {
    if (this.pictures.has(uri)) return;
    const picture = new Image();
    picture.src = uri;
    this.pictures.set(uri, picture);
    await picture.decode().catch(() => {});
  }

  change(changes) {
    Object.assign(this.chosen, changes);
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.chosen));
    } catch {} // a browser may forbid it
  }

  draw() {
    const { data, root } = this;
    root.style.setProperty('--exits', data.maps.length);
    this.follow();
    const tools = data.tools ? `${this.chosen.view} ${this.chosen.scale}` : '';
    if (tools !== this.tools.dataset.shown) { // else a slider may be under the hand
      this.tools.dataset.shown = tools;
      renew(this.tools, data.tools ? this.controls() : []);
    }
    renew(this.figures, data.maps.map((_, index) => this.figure(index)));
    if (this.large.open) this.enlarge(this.enlarged);
  }

  follow() {
    this.root.style.setProperty('--strength', this.chosen.strength / 100);
    this.root.style.setProperty('--wipe', `${this.chosen.view === 'wipe' ? this.chosen.wipe : 0}%`);
  }

  controls() {
    const { words } = this.data;
    const { view, scale } = this.chosen;
    const set = (changes) => {
      this.change(changes);
      this.draw();
    };
    const drag = (name) => (value) => {
      this.change({ [name]: value });
      this.follow();
    };
    return [
      choice(words.view, words.views, view, (value) => set({ view: value })),
      choice(words.scale, words.scales, scale, (value) => set({ scale: value })),
      ...(view === 'heat' ? [slider(words.strength, this.chosen.strength, drag('strength'))] : []),
      ...(view === 'wipe' ? [slider(words.wipe, this.chosen.wipe, drag('wipe'))] : []),
    ];
  }

  figure(index, large = false) {
    const { data, chosen } = this;
    const exit = data.maps[index];
    const plain = make('img');
    const grey = make('img', 'grey');
    plain.src = grey.src = data.image;
    plain.alt = grey.alt = '';
    const over = make('div', chosen.view === 'contour' ? 'over lines' : 'over', grey);
    const picture = make('div', 'picture', plain, over);
    if (exit.map && exit.peak > 0) over.append(this.veil(exit));
    else picture.append(make('span', 'says', exit.map ? data.words.empty : data.running ? data.words.pending : data.words.failed));
    if (chosen.view === 'wipe') {
      picture.append(make('div', 'edge'));
      this.draggable(picture);
    }
    const caption = make('figcaption', '', make('b', '', exit.name), ` for “${exit.answer}”`);
    const strongest = Math.max(...data.maps.map((one) => one.peak));
    if (exit.map && chosen.scale === 'shared' && strongest > 0) {
      const share = Math.round((100 * exit.peak) / strongest);
      caption.append(make('small', '', data.words.share.replace('{share}', share)));
    }
    if (!large) {
      const zoom = make('button', 'zoom', '⤢');
      zoom.type = 'button';
      zoom.title = data.words.enlarge;
      zoom.setAttribute('aria-label', `${data.words.enlarge}: ${exit.name}`);
      zoom.dataset.held = index;
      zoom.onclick = () => this.enlarge(index);
      picture.append(zoom);
    }
    return make('figure', exit.reached ? '' : 'unreached', picture, caption);
  }

  veil(exit) {
    const { data, chosen } = this;
    const strongest = Math.max(...data.maps.map((one) => one.peak));
    const share = chosen.scale === 'shared' ? exit.peak / strongest : 1;
    const grey = this.pictures.get(exit.map);
    const image = chosen.view === 'contour'
      ? contours(strengths(grey, LARGE), share, data.heat)
      : heat(strengths(grey), share, data.heat);
    const canvas = make('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext('2d').putImageData(image, 0, 0);
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', exit.alt);
    return canvas;
  }

  draggable(picture) {
    const move = (event) => {
      const { left, width } = picture.getBoundingClientRect();
      const wipe = Math.round(Math.min(Math.max((100 * (event.clientX - left)) / width, 0), 100));
      this.change({ wipe });
      this.follow();
      for (const input of this.root.querySelectorAll('.slider input')) {
        input.value = wipe;
        input.nextSibling.textContent = `${wipe} %`;
      }
    };
    picture.onpointerdown = (event) => {
      if (event.target.closest('.zoom')) return;
      picture.setPointerCapture(event.pointerId);
      move(event);
    };
    picture.onpointermove = (event) => {
      if (picture.hasPointerCapture(event.pointerId)) move(event);
    };
  }

  enlarge(index) {
    const { data } = this;
    const count = data.maps.length;
    this.enlarged = (index + count) % count;
    const button = (text, label, act) => {
      const one = make('button', 'step', text);
      one.type = 'button';
      one.setAttribute('aria-label', label);
      one.dataset.held = label;
      one.onclick = act;
      return one;
    };
    renew(this.large, [
      make(
        'header',
        '',
        button('←', data.words.previous, () => this.enlarge(this.enlarged - 1)),
        button('→', data.words.next, () => this.enlarge(this.enlarged + 1)),
        ...this.controls(),
        button('×', data.words.close, () => this.large.close()),
      ),
      this.figure(this.enlarged, true),
    ]);
    if (!this.large.open) this.large.showModal();
  }
}

export default function (component) {
  const { data, parentElement } = component;
  if (!parentElement.maps) {
    const root = make('div', 'maps');
    parentElement.append(root);
    parentElement.maps = new Maps(root);
  }
  const { maps } = parentElement;
  maps.show(data);
  const outdate = (event) => maps.outdate(event);
  document.addEventListener('click', outdate, true);
  return () => document.removeEventListener('click', outdate, true);
}
