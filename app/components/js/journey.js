// One picture on its way through a network: stage by stage its features appear, each exit speaks, its
// gate opens or stays closed. Python sends what every exit says and, for every position of the one
// slider, where the picture leaves; playing, stepping and sliding need no server.

const PACE = 900; // milliseconds of a frame
const FIGURES = 6; // channels beside a stage; the rest after a click
const SCORE = 'early-exit-guesses';
const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(SCORE)) ?? { right: 0, all: 0 };
  } catch {
    return { right: 0, all: 0 };
  }
}

function button(name, label, help, press) {
  const made = make('button', name, label);
  made.type = 'button';
  made.title = help;
  made.onclick = press;
  return made;
}

// A part of a picture that holds many tiles in rows.
function tile(stage, index) {
  const made = make('i', 'tile');
  const rows = Math.ceil(stage.channels / stage.columns);
  const at = (place, count) => (count > 1 ? (100 * place) / (count - 1) : 0);
  made.style.backgroundImage = `url("${stage.sprite}")`;
  made.style.backgroundSize = `${100 * stage.columns}% ${100 * rows}%`;
  made.style.backgroundPosition =
    `${at(index % stage.columns, stage.columns)}% ${at(Math.floor(index / stage.columns), rows)}%`;
  made.style.setProperty('--turn', index);
  return made;
}

class Journey {
  constructor(parent) {
    this.root = make('div', 'journey');
    parent.append(this.root);
    this.guessing = null; // until Python says how it begins
    this.score = remembered();
    this.pressed = (event) => this.key(event);
    addEventListener('keydown', this.pressed);
  }

  close() {
    removeEventListener('keydown', this.pressed);
    clearTimeout(this.timer);
    clearTimeout(this.pause);
    this.root.remove();
  }

  show(data, tell) {
    this.tell = tell;
    const told = JSON.stringify(data);
    if (told === this.told) return; // the page ran anew, and the picture is on its way
    this.told = told;
    const [before, after] = [this.data, data].map((one) => one && [one.model, one.image, one.name].join());
    const another = before !== after;
    this.data = data;
    this.guessing ??= data.within;
    this.level = data.level;
    if (another) {
      this.revealed = false;
      this.guess = null;
    }
    this.build();
    if (!another) this.stand(Infinity);
    else if (this.guessing || still()) this.stand(this.guessing ? 0 : Infinity);
    else this.play(0);
  }

  // ---- what comes when

  get now() {
    return this.data.levels[this.level];
  }

  // A frame for each stage that computes, and one for each exit in use that speaks.
  frames() {
    const { exit, on } = this.now;
    const all = [];
    for (let at = 0; at <= exit; at++) {
      all.push(['stage', at]);
      if (at === this.data.exits.length - 1 || on[at]) all.push(['exit', at]);
    }
    return all;
  }

  stand(frame) {
    clearTimeout(this.timer);
    this.timer = null;
    this.at = Math.min(frame, this.frames().length);
    this.draw();
  }

  play(from) {
    this.stand(from);
    const go = () => {
      this.timer = null;
      if (this.at >= this.frames().length) return this.draw();
      this.at += 1;
      this.timer = setTimeout(go, PACE);
      this.draw();
    };
    this.timer = setTimeout(go, PACE / 2);
    this.draw();
  }

  toggle() {
    if (this.timer) this.stand(this.at);
    else this.play(this.ended ? 0 : this.at);
  }

  get ended() {
    return this.at >= this.frames().length;
  }

  key(event) {
    const at = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || this.large.open) return;
    const inside = at instanceof HTMLElement;
    if (inside && (at.isContentEditable || at.matches('textarea, select, input:not([type=range])'))) return;
    const holds = inside && at.matches('button, input, a, [role=combobox]');
    const steps = { n: 'next', p: 'previous', a: 'any', m: 'model' };
    if (this.data.touring) Object.assign(steps, { pagedown: 'on', pageup: 'back' });
    const name = event.key.toLowerCase();
    if (name === ' ' && !holds) this.toggle();
    else if (name === '.') this.stand(this.ended ? 0 : this.at + 1);
    else if (name === 'r') this.reveal();
    else if (name === 'g') this.ask();
    else if (name === 'f') this.fill();
    else if (name in steps) this.tell('go', steps[name]);
    else if (name === '+' || name === '-') this.slide(this.level + (name === '+' ? 1 : -1), true);
    else return;
    event.preventDefault();
  }

  reveal() {
    this.revealed = !this.revealed;
    this.draw();
  }

  ask() {
    this.guessing = !this.guessing;
    this.guess = null;
    this.stand(this.guessing ? 0 : Infinity);
  }

  fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => {});
  }

  slide(level, done) {
    this.level = Math.min(Math.max(level, 0), this.data.levels.length - 1);
    this.stand(Infinity);
    clearTimeout(this.pause);
    if (done) this.pause = setTimeout(() => this.tell('level', this.level), 300);
  }

  bet(exit) {
    this.guess = exit;
    const right = exit === this.now.exit;
    this.score = { right: this.score.right + right, all: this.score.all + 1 };
    try {
      sessionStorage.setItem(SCORE, JSON.stringify(this.score));
    } catch {} // a browser may forbid it
    if (still()) this.stand(Infinity);
    else this.play(0);
  }

  // ---- what is on the page

  build() {
    const { data, root } = this;
    const { words } = data;
    root.style.setProperty('--exits', data.exits.length);
    root.classList.toggle('photo', !data.image.startsWith('data:image/png'));
    root.classList.toggle('touring', data.touring);
    root.classList.toggle('within', data.within);
    const go = (to, label, help) => button('', label, help, () => this.tell('go', to));
    this.player = button('', '', words.play_help, () => this.toggle());
    this.asker = button('', words.guess, words.guess_help, () => this.ask());
    this.teller = button('', words.reveal, words.reveal_help, () => this.reveal());
    const tools = make(
      'div', 'tools',
      this.player,
      button('', words.step, words.step_help, () => this.stand(this.ended ? 0 : this.at + 1)),
      this.teller, this.asker,
      go('previous', '← P', words.previous), go('next', 'N →', words.next),
      go('any', words.other, words.any), go('model', words.network, words.model),
    );
    const image = make('img');
    Object.assign(image, { src: data.image, alt: data.alt });
    this.truth = make('p', 'truth');
    this.truth.setAttribute('aria-live', 'polite');
    const figure = make(
      'figure', '', image, make('figcaption', '', this.truth, make('small', '', data.name)), tools,
    );
    this.columns = data.exits.map((_, at) => this.column(at));
    const path = make('ol', 'path', ...this.columns.map(({ item }) => item));
    this.meter = data.stages.map((stage) => {
      const part = make('i', '', make('b'));
      part.style.flexGrow = stage.cost;
      part.title = words.macs.replace('{stage}', stage.name).replace('{macs}', stage.macs);
      return part;
    });
    this.spent = make('p', 'spent');
    this.spent.setAttribute('aria-live', 'polite');
    const meter = make('div', 'meter', make('div', 'bar', ...this.meter), this.spent);
    this.large = make('dialog', 'large');
    this.large.onclick = (event) => event.target === this.large && this.large.close();
    root.replaceChildren(
      make('div', 'scene', figure, path), meter, ...this.master(), this.large,
    );
  }

  column(at) {
    const { data } = this;
    const { words } = data;
    const [stage, exit] = [data.stages[at], data.exits[at]];
    const some = Array.from({ length: Math.min(stage.channels, FIGURES) }, (_, index) => tile(stage, index));
    const maps = button('maps', '', words.maps_help.replace('{stage}', stage.name), () => this.enlarge(at));
    maps.append(make('span', 'tiles', ...some));
    maps.dataset.tiny = String(stage.side === 1);
    const says = {
      chip: make('span', 'chip'), answer: make('strong'), sure: make('span', 'sure'),
      fill: make('i', 'fill'), mark: make('i', 'mark'), verdict: make('p', 'verdict'),
    };
    const gate = make('i', 'gate', make('b'));
    gate.setAttribute('aria-hidden', 'true');
    const card = make(
      'article', 'exit',
      make('header', '', make('b', '', exit.name), says.chip),
      button('guess', words.guess_here, words.guess_here, () => this.bet(at)),
      make('p', 'answer', says.answer, says.sure),
      at < data.exits.length - 1 ? make('div', 'gauge', says.fill, says.mark) : null,
      says.verdict,
    );
    const item = make(
      'li', '',
      make('header', '', make('b', '', stage.name), make('span', '', stage.macs + ' MACs')),
      maps, make('div', 'way', gate), card,
    );
    return { item, card, ...says };
  }

  master() {
    const { data } = this;
    const { words } = data;
    this.slider = null;
    this.whole = make('p', 'whole');
    if (data.levels.length < 2) return [make('p', 'alone', words.alone)];
    this.slider = make('input');
    Object.assign(this.slider, { type: 'range', min: 0, max: data.levels.length - 1, value: this.level });
    this.slider.setAttribute('aria-label', words.master);
    this.slider.oninput = () => this.slide(Number(this.slider.value), false);
    this.slider.onchange = () => this.slide(Number(this.slider.value), true);
    return [make(
      'div', 'master',
      make('label', '', make('b', '', words.master), this.whole),
      make('div', 'ends', make('span', '', words.quick), this.slider, make('span', '', words.careful)),
    )];
  }

  enlarge(at) {
    const stage = this.data.stages[at];
    const { words } = this.data;
    const all = Array.from({ length: stage.channels }, (_, index) => tile(stage, index));
    const close = button('close', '×', words.close, () => this.large.close());
    const title = words.maps.replace('{stage}', stage.name).replace('{shape}', stage.shape)
      .replace('{count}', stage.channels);
    const grid = make('div', 'grid', ...all);
    grid.dataset.tiny = String(stage.side === 1);
    this.large.replaceChildren(make('header', '', make('h2', '', title), close), make('p', '', words.maps_note), grid);
    this.large.showModal();
  }

  draw() {
    const { data, now, columns } = this;
    const { words } = data;
    const done = this.frames().slice(0, this.at);
    const computed = done.filter(([kind]) => kind === 'stage').length;
    const spoken = new Set(done.filter(([kind]) => kind === 'exit').map(([, at]) => at));
    const ended = this.ended;
    const asks = this.guessing && this.guess === null;
    columns.forEach(({ item, ...says }, at) => {
      const last = at === columns.length - 1;
      const off = !last && !now.on[at];
      item.dataset.stage = at < computed ? 'lit' : ended ? 'spared' : 'waiting';
      const fresh = !ended && at === computed - 1 && !spoken.has(at);
      item.dataset.fresh = String(fresh && this.timer !== null);
      const exit = data.exits[at];
      const leaves = at === now.exit;
      const speaks = spoken.has(at);
      const state = speaks ? (leaves ? 'open' : 'closed') : off && at < computed ? 'off' : ended ? 'spared' : 'waiting';
      item.dataset.exit = state;
      says.chip.textContent = words.chips[state];
      const told = leaves ? now : exit;
      says.answer.textContent = speaks ? told.answer : '';
      says.sure.textContent = speaks ? words.sure.replace('{share}', told.sure) : '';
      says.sure.dataset.right = speaks && this.revealed && exit.right !== null ? String(told.right) : '';
      if (speaks && this.revealed && told.right !== null) {
        says.sure.textContent += told.right ? ' ✓ right' : ' ✗ wrong';
      }
      says.fill.style.width = speaks ? `${100 * now.scores[at]}%` : '0';
      says.mark.style.left = `${100 * (now.thresholds[at] ?? 1)}%`;
      says.mark.hidden = off || state === 'spared';
      if (speaks && !last) {
        says.verdict.replaceChildren(`${data.criterion} `, make('span', '', now.verdicts[at]));
      } else {
        says.verdict.textContent = state === 'spared' ? words.would_cost.replace('{cost}', data.stages[at].share) : '';
      }
      item.querySelector('.guess').hidden = !asks || off;
    });
    this.meter.forEach((part, at) => {
      part.dataset.state = at < computed ? 'lit' : ended ? 'spared' : 'waiting';
    });
    this.player.textContent = this.timer ? words.pause : ended ? words.replay : words.play;
    this.asker.setAttribute('aria-pressed', String(this.guessing));
    this.teller.setAttribute('aria-pressed', String(this.revealed));
    this.teller.disabled = data.truth === null;
    this.truth.textContent = data.truth === null ? words.unknown : this.revealed ? data.truth : words.what;
    this.truth.dataset.hidden = String(!this.revealed);
    this.spent.textContent = this.sentence(asks, ended);
    if (this.slider) {
      this.slider.value = this.level;
      this.slider.setAttribute('aria-valuetext', now.whole);
      this.whole.textContent = `${words.all}: ${now.whole}`;
    }
  }

  sentence(asks, ended) {
    const { words } = this.data;
    const score = this.score.all
      ? ' ' + words.score.replace('{right}', this.score.right).replace('{all}', this.score.all) : '';
    if (asks) return words.ask + score;
    if (!ended) return words.under_way;
    const hit = this.guess === this.now.exit ? words.hit : words.missed;
    return (this.guess === null ? '' : `${hit}${score} `) + this.now.spent;
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const journey = (parentElement.earlyExitJourney ??= new Journey(parentElement));
  journey.show(data, (name, value) => setTriggerValue(name, value));
  return () => {
    journey.close();
    delete parentElement.earlyExitJourney;
  };
}
