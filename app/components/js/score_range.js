// Dragging over a histogram chooses a range of scores. The counts of a range come from Python, for
// every hundredth, so what is said while dragging is what will be selected.

const STEPS = 100;
const ALL = [0, STEPS];

const clamp = (value) => Math.min(Math.max(value, 0), STEPS);
const whole = ([low, high]) => low === 0 && high === STEPS;

class Brush {
  constructor(parent) {
    this.root = make('div', 'brush');
    this.root.setAttribute('role', 'group');
    this.title = make('span', 'title');
    this.help = make('span', 'help', '?');
    this.help.setAttribute('role', 'img');
    this.up = make('span', 'up');
    this.down = make('span', 'down');
    this.count = make('b');
    this.count.setAttribute('aria-live', 'polite');
    this.fields = ['Least score', 'Greatest score'].map((label, end) => this.field(label, end));
    this.clear = make('button', 'clear', 'All scores');
    this.clear.type = 'button';
    this.clear.title = 'Choose all scores again';
    this.clear.onclick = () => {
      this.set(...ALL);
      this.commit();
    };
    const ends = make('span', 'ends');
    ends.append(this.count, this.fields[0], '–', this.fields[1], this.clear);
    const head = make('div', 'head');
    head.append(this.title, this.help, this.up, this.down, ends);

    this.area = make('div', 'area');
    this.bars = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    this.bars.setAttribute('preserveAspectRatio', 'none');
    this.bars.setAttribute('role', 'img');
    this.veils = [make('div', 'veil'), make('div', 'veil')];
    this.window = make('div', 'window');
    this.handles = ['Least score', 'Greatest score'].map((label, end) => this.handle(label, end));
    this.area.append(this.bars, ...this.veils, this.window, ...this.handles);
    this.area.onpointerdown = (event) => this.grab(event);

    const scale = make('div', 'scale');
    scale.append(...[0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => make('span', '', String(at))));
    this.root.append(head, this.area, scale);
    parent.append(this.root);
    this.range = ALL;
    this.sent = ALL;
  }

  field(label, end) {
    const input = make('input');
    Object.assign(input, { type: 'number', min: 0, max: 1, step: 0.01 });
    input.setAttribute('aria-label', label);
    input.onchange = () => {
      const value = Number(input.value);
      if (input.value !== '' && Number.isFinite(value)) this.move(end, Math.round(value * STEPS));
      this.draw(true);
      this.commit();
    };
    return input;
  }

  handle(label, end) {
    const handle = make('div', 'handle');
    handle.tabIndex = 0;
    handle.dataset.end = end;
    handle.setAttribute('role', 'slider');
    handle.setAttribute('aria-label', label);
    handle.onkeydown = (event) => {
      const size = event.shiftKey ? 10 : 1;
      const steps = {
        ArrowRight: size, ArrowUp: size, ArrowLeft: -size, ArrowDown: -size,
        PageUp: 10, PageDown: -10, Home: -STEPS, End: STEPS,
      };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.move(end, this.range[end] + steps[event.key]);
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.commit(), 250);
    };
    return handle;
  }

  // one end goes there, but not past the other
  move(end, step) {
    const [low, high] = this.range;
    if (end === 0) this.set(Math.min(clamp(step), high), high);
    else this.set(low, Math.max(clamp(step), low));
  }

  set(low, high) {
    this.range = [low, high];
    this.draw();
  }

  grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    const before = this.range;
    const { left, width } = this.area.getBoundingClientRect();
    const at = (one) => clamp(Math.round(((one.clientX - left) / width) * STEPS));
    const start = at(event);
    const end = event.target.dataset.end;
    const inside = event.target === this.window && !whole(before);
    let moved = false;
    const follow = (one) => {
      const now = at(one);
      moved ||= Math.abs(one.clientX - event.clientX) > 3;
      if (!moved) return;
      if (end !== undefined) this.move(Number(end), now);
      else if (inside) {
        const by = Math.min(Math.max(now - start, -before[0]), STEPS - before[1]);
        this.set(before[0] + by, before[1] + by);
      } else this.set(Math.min(start, now), Math.max(start, now));
    };
    const done = () => {
      this.holding = false;
      this.root.classList.remove('holding');
      removeEventListener('pointermove', follow);
      removeEventListener('pointerup', release);
      removeEventListener('pointercancel', undo);
      removeEventListener('keydown', escape);
    };
    const release = () => {
      done();
      if (!moved && end === undefined && !inside) this.set(...ALL); // a click beside it
      this.commit();
    };
    const undo = () => {
      done();
      this.set(...before);
    };
    const escape = (one) => {
      if (one.key === 'Escape') undo();
    };
    this.holding = true;
    this.root.classList.add('holding');
    if (end !== undefined) event.target.focus({ preventScroll: true });
    addEventListener('pointermove', follow);
    addEventListener('pointerup', release);
    addEventListener('pointercancel', undo);
    addEventListener('keydown', escape);
  }

  commit() {
    clearTimeout(this.pause);
    if (String(this.range) === String(this.sent)) return;
    this.sent = this.range;
    this.tell(this.range.map((step) => step / STEPS));
  }

  show(data, tell) {
    this.tell = tell;
    this.data = data;
    this.root.setAttribute('aria-label', data.title);
    this.title.textContent = data.title;
    this.help.title = data.help;
    this.help.setAttribute('aria-label', data.help);
    const [ups, downs] = [data.up, data.down].map(({ counts }) => counts.reduce((a, b) => a + b, 0));
    this.up.textContent = `▲ ${ups.toLocaleString('en-US')} ${data.up.name}`;
    this.down.textContent = downs ? `▼ ${downs.toLocaleString('en-US')} ${data.down.name}` : '';
    this.plot(data, downs > 0);
    this.sent = [data.low, data.high].map((score) => Math.round(score * STEPS));
    if (!this.holding) this.range = this.sent; // the hand has moved on; its release is to come
    this.draw();
  }

  // few are to be seen beside many, so heights grow with the logarithm
  plot({ up, down }, both) {
    const bins = up.counts.length;
    const middle = both ? 60 : 100;
    this.area.classList.toggle('flat', !both);
    this.bars.setAttribute('viewBox', `0 0 ${bins} 100`);
    const side = ({ counts }, kind, room, top) => {
      const most = Math.log1p(Math.max(...counts, 1));
      return counts.flatMap((count, index) => {
        if (!count) return [];
        const height = (room * Math.log1p(count)) / most;
        const bar = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
        const place = { x: index + 0.06, y: top(height), width: 0.88, height, class: kind };
        for (const [key, value] of Object.entries(place)) bar.setAttribute(key, value);
        return [bar];
      });
    };
    const axis = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    const ends = { x1: 0, x2: bins, y1: middle, y2: middle };
    for (const [key, value] of Object.entries(ends)) axis.setAttribute(key, value);
    this.bars.setAttribute('aria-label', `${this.up.textContent} ${this.down.textContent}`);
    this.bars.replaceChildren(
      ...side(up, 'u', middle - 4, (height) => middle - height),
      ...(both ? side(down, 'd', 96 - middle, () => middle) : []),
      ...(both ? [axis] : []),
    );
  }

  draw(typed = false) {
    if (!this.data) return;
    const [low, high] = this.range;
    const active = this.root.getRootNode().activeElement;
    [low, high].forEach((step, end) => {
      const score = step / STEPS;
      this.handles[end].style.left = `${step}%`;
      this.handles[end].setAttribute('aria-valuemin', end ? low / STEPS : 0);
      this.handles[end].setAttribute('aria-valuemax', end ? 1 : high / STEPS);
      this.handles[end].setAttribute('aria-valuenow', score);
      if (typed || active !== this.fields[end]) this.fields[end].value = score;
    });
    this.handles[0].style.zIndex = low > STEPS / 2 ? 1 : 0; // both at an end: the free one on top
    this.veils[0].style.left = 0;
    this.veils[0].style.width = `${low}%`;
    this.veils[1].style.left = `${high}%`;
    this.veils[1].style.right = 0;
    this.window.style.left = `${low}%`;
    this.window.style.width = `${high - low}%`;
    this.window.classList.toggle('some', !whole(this.range));
    this.clear.disabled = whole(this.range);
    const { below, at_most: atMost } = this.data;
    const found = atMost[high] - below[low];
    this.count.textContent =
      `${found.toLocaleString('en-US')} ${found === 1 ? 'image' : 'images'} from`;
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const brush = (parentElement.earlyExitBrush ??= new Brush(parentElement));
  brush.show(data, (range) => setTriggerValue('range', range));
}
