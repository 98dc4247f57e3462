// A frame on a picture, moved and resized by hand. Where it is left goes to Python.

class Frame {
  constructor(root, send) {
    this.send = send;
    this.image = make('img');
    this.image.alt = '';
    this.frame = make('div', 'frame');
    this.frame.tabIndex = 0;
    this.frame.setAttribute('role', 'group');
    this.stage = make('div', 'stage', this.image, this.frame);
    this.slider = make('input');
    this.slider.type = 'range';
    this.reset = make('button');
    this.reset.type = 'button';
    root.append(this.stage, make('div', 'tools', this.slider, this.reset));
    this.slider.oninput = () => this.move({ side: this.slider.value / 100 });
    this.slider.onchange = () => this.send(this.crop);
    this.reset.onclick = () => {
      this.move(this.data.usual);
      this.send(this.crop);
    };
    this.draggable();
    this.frame.onkeydown = (event) => this.pressed(event);
  }

  show(data) {
    this.data = data;
    const { words } = data;
    if (this.image.src !== data.image) this.image.src = data.image;
    this.frame.setAttribute('aria-label', words.label);
    this.frame.title = words.label;
    Object.assign(this.slider, { min: 100 * data.smallest, max: 100, step: 1, title: words.size });
    this.slider.setAttribute('aria-label', words.size);
    this.reset.textContent = words.reset;
    const [width, height] = data.size;
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.stage.style.maxWidth = `calc(12rem * ${width / height})`;
    this.move(data.crop);
  }

  move(changes) {
    const crop = { ...this.crop, ...changes };
    const [width, height] = this.data.size;
    const shorter = Math.min(width, height);
    crop.side = Math.min(Math.max(crop.side, this.data.smallest), 1);
    const across = (crop.side * shorter) / width;
    const down = (crop.side * shorter) / height;
    crop.x = Math.min(Math.max(crop.x, across / 2), 1 - across / 2);
    crop.y = Math.min(Math.max(crop.y, down / 2), 1 - down / 2);
    this.crop = crop;
    Object.assign(this.frame.style, {
      left: `${100 * (crop.x - across / 2)}%`,
      top: `${100 * (crop.y - down / 2)}%`,
      width: `${100 * across}%`,
      height: `${100 * down}%`,
    });
    this.slider.value = 100 * crop.side;
    const { usual } = this.data;
    this.reset.disabled = ['x', 'y', 'side'].every((name) => Math.abs(crop[name] - usual[name]) < 0.005);
  }

  draggable() {
    let from = null;
    this.stage.onpointerdown = (event) => {
      event.preventDefault();
      this.frame.focus({ preventScroll: true });
      this.stage.setPointerCapture(event.pointerId);
      const { left, top, width, height } = this.stage.getBoundingClientRect();
      const x = (event.clientX - left) / width;
      const y = (event.clientY - top) / height;
      if (!event.composedPath().includes(this.frame)) this.move({ x, y });
      from = { x: x - this.crop.x, y: y - this.crop.y };
    };
    this.stage.onpointermove = (event) => {
      if (!from) return;
      const { left, top, width, height } = this.stage.getBoundingClientRect();
      this.move({
        x: (event.clientX - left) / width - from.x,
        y: (event.clientY - top) / height - from.y,
      });
    };
    this.stage.onpointerup = this.stage.onpointercancel = () => {
      if (from) this.send(this.crop);
      from = null;
    };
  }

  pressed(event) {
    const { x, y, side } = this.crop;
    const step = event.shiftKey ? 0.1 : 0.02;
    const to = {
      ArrowLeft: { x: x - step },
      ArrowRight: { x: x + step },
      ArrowUp: { y: y - step },
      ArrowDown: { y: y + step },
      '+': { side: side + 0.05 },
      '-': { side: side - 0.05 },
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.move(to);
    this.send(this.crop);
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (!parentElement.frame) {
    const root = make('div', 'crop');
    parentElement.append(root);
    parentElement.frame = new Frame(root, (crop) => setTriggerValue('moved', crop));
  }
  parentElement.frame.show(data);
}
