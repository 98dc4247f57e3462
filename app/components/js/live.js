// Thresholds under the hand: while one moves, whatever depends on it follows, without the server.
// Python draws the page; this file keeps the parts that carry data-* marks up to date, and tells
// Python once the hand lets go.

// ---- routing: the same rule, in the same precision, as core/routing.py

function route(table, thresholds, enabled) {
  const { samples, early, scores, right, window: between } = table;
  const words = ((early + 1) >>> 5) + 1; // 32 exits share a number, the reference comes last
  const counts = new Array(early + 1).fill(0);
  const correct = new Array(early + 1).fill(0);
  let rescued = 0;
  let ruined = 0;
  let losses = 0;
  let gains = 0;
  let first = early;
  const last_on = enabled.lastIndexOf(true);
  for (let row = 0; row < samples; row++) {
    let exit = early;
    for (let e = 0; e < early; e++) {
      if (enabled[e] && scores[row * early + e] > thresholds[e]) {
        exit = e;
        break;
      }
    }
    const at = (e) => (right[row * words + (e >>> 5)] >>> (e & 31)) & 1;
    const last = at(early);
    let here = at(exit);
    if (between && exit === early && last_on >= 0) {
      // classes were ruled out on the way: the final answer hangs on the last threshold
      const level = thresholds[last_on];
      here = between[2 * row] <= level && level < between[2 * row + 1] ? 1 : 0;
    }
    counts[exit]++;
    correct[exit] += here;
    rescued += here & ~last;
    ruined += ~here & last;
    const reference = at(early + 1);
    losses += reference & ~here;
    gains += here & ~reference;
    if (row === 0) first = exit;
  }
  let cost = 0;
  let total = 0;
  const costs = counts.map((count, e) => {
    total += table.stage_costs[e];
    if (e === early || enabled[e]) total += table.head_costs[e];
    cost += count * total;
    return total;
  });
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const mean = cost / samples;
  const squares = counts.map((count, e) => count * (costs[e] - mean) ** 2);
  return {
    counts, correct, costs, rescued, ruined, first, losses, gains, samples,
    cost: mean, deviation: Math.sqrt(sum(squares) / samples), right: sum(correct),
    accuracy: sum(correct) / samples,
  };
}

// ---- confidence intervals: the formulas of core/exits/intervals.py

function accuracyInterval(right, samples, z) {
  const [share, spread] = [right / samples, (z * z) / samples];
  const centre = share + spread / 2;
  const half = Math.sqrt(spread * (share * (1 - share) + spread / 4));
  return [
    Math.max(0, (centre - half) / (1 + spread)), Math.min(1, (centre + half) / (1 + spread)),
  ];
}

function scoreStatistic(losses, gains, samples, drop) {
  if (drop < 0) return -scoreStatistic(gains, losses, samples, -drop);
  const linear = (2 * samples - losses + gains) * drop - losses - gains;
  const root = Math.sqrt(linear ** 2 + 8 * samples * gains * drop * (1 - drop));
  const gain = (root - linear) / (4 * samples);
  const variance = samples * (2 * gain + drop * (1 - drop));
  return variance > 0 ? (losses - gains - samples * drop) / Math.sqrt(variance) : 0;
}

function largestDrop(losses, gains, samples, z) {
  let [low, high] = [(losses - gains) / samples, 1];
  for (let step = 0; step < 40; step++) {
    const middle = (low + high) / 2;
    if (scoreStatistic(losses, gains, samples, middle) > -z) low = middle;
    else high = middle;
  }
  return high;
}

const differenceInterval = (losses, gains, samples, z) =>
  [-largestDrop(losses, gains, samples, z), largestDrop(gains, losses, samples, z)];

// ---- numbers, worded as in app/wording.py

const MISSING = '–';

// halves to even, judged on the exact decimal expansion, as Python formats
function fixed(value, digits) {
  const exact = Math.abs(value).toFixed(60);
  const cut = exact.indexOf('.') + 1 + digits;
  const rest = exact.slice(cut);
  if (!/^50*$/.test(rest)) return value.toFixed(digits);
  const kept = exact.slice(0, cut).replace(/\.$/, '');
  const even = Number(kept.at(-1)) % 2 === 0;
  return even ? (value < 0 ? '-' : '') + kept : value.toFixed(digits);
}

const percent = (fraction, digits = 1) =>
  Number.isNaN(fraction) ? MISSING : `${fixed(fraction * 100, digits)}\u00a0%`;

const signed = (text) => text.replace('-', '−');

const interval = (low, high, digits) =>
  `${signed(fixed(low * 100, digits))} to ${signed(percent(high, digits))}`;

function apart(difference) {
  const text = fixed(Math.abs(difference) * 100, 2);
  if (Number(text) === 0) return `±${text}`;
  return `${difference > 0 ? '+' : '−'}${text}`;
}

const count = (value) => value.toLocaleString('en-US');

function score(value) {
  if (value === 0 || value === 1) return String(value);
  for (const digits of [3, 4, 5]) {
    const text = fixed(value, digits);
    if (Number(text) > 0 && Number(text) < 1) return text;
  }
  return fixed(value, 6);
}

function against(value, threshold) {
  let pair = [score(value), score(threshold)];
  for (let digits = 4; digits < 7 && pair[0] === pair[1] && value !== threshold; digits++) {
    pair = [fixed(value, digits), fixed(threshold, digits)];
  }
  return pair.join(value > threshold ? ' > ' : ' ≤ ');
}

function macs(value) {
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (value >= size) {
      const digits = 2 - Math.min(Math.trunc(Math.log10(value / size)), 2);
      return `${fixed(value / size, digits)} ${unit}`;
    }
  }
  return String(value);
}

// ---- what is on the page

class Live {
  constructor(parent) {
    this.root = document.createElement('div');
    this.root.className = 'ee-live';
    this.root.innerHTML =
      '<div class="ee-before"></div><div class="ee-controls"></div><div class="ee-after"></div>';
    parent.appendChild(this.root);
    [this.before, this.controls, this.after] = this.root.children;
    this.structure = null;
    this.holding = false;
    this.frame = 0;
    this.root.addEventListener('pointerdown', (event) => this.grab(event));
    this.root.addEventListener('click', (event) => this.jump(event));
    this.arrived = () => this.update();
    window.addEventListener('early-exit-table', this.arrived);
  }

  show(data, tell) {
    this.tell = tell;
    if (this.holding) return; // the hand has moved on; its release brings everything up to date
    this.data = data;
    this.thresholds = [...data.thresholds];
    this.enabled = [...data.enabled];
    this.before.innerHTML = data.before;
    this.after.innerHTML = data.after;
    const structure = JSON.stringify([data.exits, data.columns]);
    if (structure !== this.structure) this.build(); // else the focus stays where it is
    this.structure = structure;
    this.update();
  }

  build() {
    const { exits, columns, words } = this.data;
    this.controls.style.setProperty('--exits', columns);
    this.rows = exits.map((name, e) => {
      const row = document.createElement('div');
      row.className = 'ee-control';
      row.innerHTML =
        '<div class="ee-control-head"><label></label><input type="number" min="0" max="1"></div>' +
        '<input type="range" min="0" max="1" step="any">' +
        '<label class="ee-switch"><input type="checkbox"><span></span></label>';
      const [number, slider, on] = row.querySelectorAll('input');
      const label = row.querySelector('label');
      label.textContent = words.threshold.replace('{exit}', name);
      label.title = words.threshold_help.replaceAll('{exit}', name);
      slider.id = `ee-threshold-${e}`;
      label.htmlFor = slider.id;
      number.setAttribute('aria-label', label.textContent);
      number.step = 'any';
      row.querySelector('span').textContent = words.enabled.replace('{exit}', name);
      row.lastChild.title = words.enabled_help;
      slider.oninput = () => this.move(e, Number(slider.value));
      slider.onchange = () => this.commit();
      slider.onkeydown = (event) => this.step(event, e);
      slider.onpointerdown = () => { this.holding = true; };
      number.onchange = () => {
        const value = Number(number.value);
        if (number.value !== '' && Number.isFinite(value)) {
          this.move(e, value);
          this.commit();
        } else this.update();
      };
      on.onchange = () => {
        this.enabled[e] = on.checked;
        this.update();
        this.commit();
      };
      return { row, number, slider, on };
    });
    this.controls.replaceChildren(...this.rows.map(({ row }) => row));
  }

  move(e, value) {
    this.thresholds[e] = Math.min(Math.max(value, 0), 1);
    this.enabled[e] = true;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.update());
  }

  step(event, e) {
    const size = event.shiftKey ? 0.01 : 0.001;
    const steps = {
      ArrowRight: size, ArrowUp: size, ArrowLeft: -size, ArrowDown: -size,
      PageUp: 0.05, PageDown: -0.05, Home: -1, End: 1,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.move(e, Math.round((this.thresholds[e] + steps[event.key]) * 1e6) / 1e6);
    this.holding = true;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.commit(), 250);
  }

  // a histogram's line follows the pointer wherever it is pressed
  grab(event) {
    const area = event.target.closest('[data-histogram]');
    if (!area) return;
    event.preventDefault();
    const e = Number(area.dataset.histogram);
    const { left, width } = area.getBoundingClientRect();
    const follow = (at) => this.move(e, Math.round(((at.clientX - left) / width) * 1e3) / 1e3);
    const release = () => {
      removeEventListener('pointermove', follow);
      removeEventListener('pointerup', release);
      removeEventListener('pointercancel', release);
      this.commit();
    };
    this.holding = true;
    addEventListener('pointermove', follow);
    addEventListener('pointerup', release);
    addEventListener('pointercancel', release);
    follow(event);
  }

  // a click on the curve takes the nearest of the policies it is made of
  jump(event) {
    const area = event.target.closest('[data-curve]');
    if (!area || !this.data.front) return;
    const { left, top, width, height } = area.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) / width, 1 - (event.clientY - top) / height];
    const { x: [x0, x1], y: [y0, y1] } = this.data.axes;
    let best = null;
    let nearest = 40; // pixels
    for (const point of this.data.front) {
      const far = Math.hypot(
        ((point[0] - x0) / (x1 - x0) - x) * width, ((point[1] - y0) / (y1 - y0) - y) * height,
      );
      if (far < nearest) [best, nearest] = [point, far];
    }
    if (!best) return;
    this.thresholds = [...best[2]];
    this.enabled = best[3].map(Boolean);
    this.update();
    this.commit();
  }

  commit() {
    this.holding = false;
    this.tell({ thresholds: this.thresholds, enabled: this.enabled });
  }

  update() {
    const { data } = this;
    if (!data) return;
    this.rows.forEach(({ row, number, slider, on }, e) => {
      slider.value = this.thresholds[e];
      slider.style.setProperty('--at', `${100 * this.thresholds[e]}%`);
      slider.setAttribute('aria-valuetext', score(this.thresholds[e]));
      if (document.activeElement !== number) number.value = score(this.thresholds[e]);
      on.checked = this.enabled[e];
      row.classList.toggle('ee-off', !this.enabled[e]);
    });
    for (const mark of this.root.querySelectorAll('[data-mark]')) {
      mark.style.left = `${100 * this.thresholds[mark.dataset.mark]}%`;
      mark.hidden = !this.enabled[mark.dataset.mark];
    }
    const table = data.table.id ? window.earlyExitTables?.get(data.table.id) : data.table;
    if (!table) return; // on its way
    const found = route(table, this.thresholds, this.enabled);
    this.readings(found);
    if (data.answers) this.ladder(found.first);
    else this.split(found, table);
  }

  reading(name, value, note, title) {
    const at = this.root.querySelector(`[data-reading="${name}"]`);
    if (!at) return;
    const [dt, dd] = at.children;
    if (title) dt.textContent = title;
    dd.textContent = value;
    if (note !== undefined) at.querySelector('.ee-note').textContent = note;
  }

  range(name, text) {
    const at = this.root.querySelector(`[data-reading="${name}"] .ee-range`);
    if (at) at.textContent = text;
  }

  readings({
    cost, accuracy, rescued, ruined, losses, gains, samples, right, deviation,
  }) {
    const { words, plain_macs: whole, z } = this.data;
    const saved = 1 - cost;
    this.reading(
      'saved',
      percent(Math.abs(saved)),
      words.macs.replace('{spent}', macs(Math.round(cost * whole))).replace('{whole}', macs(whole)),
      saved >= 0 ? words.saved : words.extra,
    );
    const note = this.root.querySelector('[data-reading="saved"] .ee-note');
    if (note) note.dataset.tone = saved >= 0 ? '' : 'wrong';
    if (this.data.answers) return;
    this.reading('accuracy', percent(accuracy, 2));
    this.reading('rescued', count(rescued));
    this.reading('ruined', count(ruined));
    const half = (z * deviation) / Math.sqrt(samples);
    const ends = saved >= 0 ? [saved - half, saved + half] : [-saved - half, -saved + half];
    this.range('saved', interval(...ends, 1));
    this.range('accuracy', interval(...accuracyInterval(right, samples, z), 2));
    this.reading('difference', apart((gains - losses) / samples));
    this.range('difference', differenceInterval(losses, gains, samples, z).map(apart).join(' to '));
  }

  split({ counts, correct, costs, cost, accuracy }, { samples }) {
    counts.forEach((left, e) => {
      const row = this.root.querySelector(`tr[data-row="${e}"]`);
      if (!row) return;
      row.classList.toggle('ee-off', e < this.enabled.length && !this.enabled[e]);
      row.querySelector('.ee-share i').style.width = `${(100 * left) / samples}%`;
      row.querySelector('.ee-share + b').textContent = percent(left / samples);
      row.querySelector('[data-cell="accuracy_of_left"]').textContent =
        percent(left ? correct[e] / left : NaN, 2);
      row.querySelector('[data-cell="cost"]').textContent = percent(costs[e]);
    });
    const total = this.root.querySelector('tr[data-row="all"]');
    if (total) {
      total.querySelector('[data-cell="accuracy_of_left"]').textContent = percent(accuracy, 2);
      total.querySelector('[data-cell="cost"]').textContent = percent(cost);
    }
    const dot = this.root.querySelector('[data-dot]');
    if (!dot) return;
    const { x: [x0, x1], y: [y0, y1] } = this.data.axes;
    const within = (share) => `${100 * Math.min(Math.max(share, 0), 1)}%`;
    dot.style.left = within((cost - x0) / (x1 - x0));
    dot.style.bottom = within((accuracy - y0) / (y1 - y0));
    dot.title = this.data.words.here
      .replace('{accuracy}', percent(accuracy, 2)).replace('{cost}', percent(cost));
  }

  ladder(leaves) {
    const { answers, words, exits } = this.data;
    const early = this.enabled.length;
    const state = (e) => {
      if (e === leaves) return 'left';
      if (e < early && !this.enabled[e]) return 'off';
      return e < leaves ? 'passed' : 'dark';
    };
    for (const one of this.root.querySelectorAll('[data-stage]')) {
      one.dataset.state = Number(one.dataset.stage) <= leaves ? 'lit' : 'dark';
    }
    for (const one of this.root.querySelectorAll('[data-exit], [data-wire]')) {
      one.dataset.state = state(Number(one.dataset.exit ?? one.dataset.wire));
    }
    for (const card of this.root.querySelectorAll('[data-exit]')) {
      const e = Number(card.dataset.exit);
      card.querySelector('.ee-chip').textContent = words.chips[state(e)];
      card.querySelector('.ee-answer small').textContent =
        state(e) === 'left' ? words.answers : words.would_answer;
      if (e === early) continue;
      const said = this.data.table.scores[e];
      card.querySelector('.ee-fill').dataset.over = said > this.thresholds[e];
      const [own, ...beside] = against(said, this.thresholds[e]).split(' ');
      card.querySelector('.ee-verdict b').textContent = own;
      card.querySelector('.ee-verdict i').textContent = beside.join(' ');
    }
    const answer = answers[leaves];
    this.reading('answer', answer.text, answer.note);
    const note = this.root.querySelector('[data-reading="answer"] .ee-note');
    if (note) note.dataset.tone = answer.tone;
    this.reading(
      'exit', answer.exit, words.stages.replace('{done}', leaves + 1).replace('{all}', early + 1),
    );
    const changed = leaves !== this.data.leaves;
    this.root.querySelector('[data-reading="time"]')?.classList.toggle('ee-stale', changed);
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const live = (parentElement.earlyExitLive ??= new Live(parentElement));
  live.show(data, (policy) => setTriggerValue('policy', policy));
  return () => {
    window.removeEventListener('early-exit-table', live.arrived);
    live.root.remove();
    delete parentElement.earlyExitLive;
  };
}
