// Comes before what saves a part of the page: what is drawn there, as one SVG, and files.

const NAMESPACE = 'http://www.w3.org/2000/svg';
const EDGE = 16; // pixels around the chart
const LINE = 20; // from one line of the caption to the next
const SHARP = 2; // pixels of a PNG for each of the page's
const HANDED_DOWN = [ // from an element to those inside it, unless they have their own
  'fill-opacity', 'fill', 'stroke-opacity', 'stroke', 'stroke-width', 'stroke-dasharray',
  'stroke-linecap', 'stroke-linejoin', 'font-family', 'font-size', 'font-weight', 'font-style',
  'letter-spacing', 'text-anchor', 'visibility',
];
const OWN = { opacity: '1', display: 'inline', 'vector-effect': 'none', 'dominant-baseline': 'auto' };

function drawn(tag, attributes, ...inside) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

const round = (value) => Math.round(value * 100) / 100;

// A colour as every program reads it, of any that style sheets know: #rrggbb, and how opaque it is.
const pot = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
  .getContext('2d', { willReadFrequently: true });

function plain_colour(colour) {
  pot.clearRect(0, 0, 1, 1);
  pot.fillStyle = colour;
  pot.fillRect(0, 0, 1, 1);
  const parts = [...pot.getImageData(0, 0, 1, 1).data];
  const hex = (values) => `#${values.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
  return { colour: hex(parts.slice(0, 3)), alpha: round(parts[3] / 255) };
}

function paint(name, colour) {
  const mixed = plain_colour(colour);
  return { [name]: mixed.colour, [`${name}-opacity`]: mixed.alpha };
}

const clear = (colour) => plain_colour(colour).alpha === 0;

// Elements that a selector matches, in their order, those inside components among them.
function* everywhere(root, selector) {
  for (const element of (root.shadowRoot ?? root).children) {
    if (element.matches(selector)) yield element;
    yield* everywhere(element, selector);
  }
}

// ---- what is on the page, as one SVG that needs no style sheet

function styled(source, copy, above) {
  const style = getComputedStyle(source);
  copy.removeAttribute('class');
  copy.removeAttribute('style');
  for (const name of HANDED_DOWN) {
    copy.removeAttribute(name);
    const value = style.getPropertyValue(name);
    if (value === above?.getPropertyValue(name)) continue;
    const mixed = name.match(/^(fill|stroke)$/) && /^(color|ok|lab|lch)/.test(value);
    for (const [key, one] of Object.entries(mixed ? paint(name, value) : { [name]: value })) {
      copy.style.setProperty(key, one);
    }
  }
  for (const [name, initial] of Object.entries(OWN)) {
    copy.removeAttribute(name);
    const value = style.getPropertyValue(name);
    if (value !== initial && !(name === 'display' && value !== 'none')) {
      copy.style.setProperty(name, value);
    }
  }
  [...source.children].forEach((child, index) => styled(child, copy.children[index], style));
}

function picture(source, box, at) {
  const copy = source.cloneNode(true);
  styled(source, copy, null);
  const place = { x: box.left - at.left, y: box.top - at.top, width: box.width, height: box.height };
  for (const [name, value] of Object.entries(place)) copy.setAttribute(name, round(value));
  if (!copy.hasAttribute('viewBox')) copy.setAttribute('viewBox', `0 0 ${box.width} ${box.height}`);
  return copy;
}

function frame(style, box, at, into) {
  const place = {
    x: box.left - at.left, y: box.top - at.top, width: box.width, height: box.height,
  };
  const corner = parseFloat(style.borderTopLeftRadius) || 0;
  const rounded = { rx: Math.min(corner, box.width / 2, box.height / 2) };
  if (!clear(style.backgroundColor)) {
    into.append(drawn('rect', { ...place, ...rounded, ...paint('fill', style.backgroundColor) }));
  }
  const sides = ['Top', 'Right', 'Bottom', 'Left'].map((side) => ({
    width: style[`border${side}Style`] === 'none' ? 0 : parseFloat(style[`border${side}Width`]),
    colour: style[`border${side}Color`],
    dashes: style[`border${side}Style`] === 'dashed' ? { 'stroke-dasharray': '3 2' } : {},
  }));
  const stroke = (side) => ({
    ...paint('stroke', side.colour), 'stroke-width': side.width, ...side.dashes,
  });
  const { x, y, width, height } = place;
  const [first] = sides;
  if (sides.every((side) => side.width === first.width && side.colour === first.colour)) {
    if (!first.width || clear(first.colour)) return;
    const inside = { x: x + first.width / 2, y: y + first.width / 2 };
    const size = {
      width: Math.max(width - first.width, 0), height: Math.max(height - first.width, 0),
    };
    into.append(drawn('rect', { ...inside, ...size, ...rounded, fill: 'none', ...stroke(first) }));
    return;
  }
  const ends = [
    [x, y, x + width, y], [x + width, y, x + width, y + height],
    [x, y + height, x + width, y + height], [x, y, x, y + height],
  ];
  sides.forEach((side, index) => {
    if (!side.width || clear(side.colour)) return;
    const [x1, y1, x2, y2] = ends[index];
    into.append(drawn('line', { x1, y1, x2, y2, ...stroke(side) }));
  });
}

const ruler = document.createElement('canvas').getContext('2d');

function font(style) {
  return `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
}

// The lines that a text is broken into, each with its place.
function lines(node) {
  const range = document.createRange();
  const found = [];
  [...node.data].reduce((start, letter) => {
    range.setStart(node, start);
    range.setEnd(node, start + letter.length);
    const box = range.getClientRects()[0];
    if (box?.width) {
      const last = found.at(-1);
      if (last && Math.abs(last.top - box.top) < 2) {
        last.text += letter;
        last.right = box.right;
      } else {
        found.push({
          text: letter, left: box.left, right: box.right, top: box.top, height: box.height,
        });
      }
    }
    return start + letter.length;
  }, 0);
  return found;
}

function words(node, style, at, into) {
  ruler.font = font(style);
  const size = ruler.measureText('x');
  const ascent = size.fontBoundingBoxAscent;
  const descent = size.fontBoundingBoxDescent;
  for (const one of lines(node)) {
    if (!one.text.trim()) continue;
    const baseline = one.top + (one.height - ascent - descent) / 2 + ascent;
    const text = drawn('text', {
      x: round(one.left - at.left), y: round(baseline - at.top), ...paint('fill', style.color),
      textLength: round(one.right - one.left), lengthAdjust: 'spacingAndGlyphs',
      'font-family': style.fontFamily, 'font-size': style.fontSize, 'font-weight': style.fontWeight,
      'font-style': style.fontStyle, 'xml:space': 'preserve',
    });
    text.textContent = style.textTransform === 'uppercase' ? one.text.toUpperCase() : one.text;
    into.append(text);
  }
}

function put(element, at, into) {
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  if (style.display === 'none' || style.visibility === 'hidden' || Number(style.opacity) === 0) return;
  if (style.display !== 'contents' && (box.width < 1.5 && box.height < 1.5)) return; // read aloud only
  if (element instanceof SVGSVGElement) {
    into.append(picture(element, box, at));
    return;
  }
  const group = drawn('g', Number(style.opacity) < 1 ? { opacity: style.opacity } : {});
  frame(style, box, at, group);
  const canvas = element instanceof HTMLCanvasElement;
  if (canvas || element instanceof HTMLImageElement) {
    const place = { x: box.left - at.left, y: box.top - at.top, width: box.width, height: box.height };
    const look = style.filter === 'none' ? {} : { style: `filter: ${style.filter}` };
    group.append(drawn('image', { ...place, ...look, href: canvas ? element.toDataURL() : element.src }));
  }
  for (const inside of (element.shadowRoot ?? element).childNodes) {
    if (inside instanceof Text) words(inside, style, at, group);
    else if (inside instanceof Element) put(inside, at, group);
  }
  if (group.childNodes.length) into.append(group);
}

// The caption in lines of a width.
function wrapped(text, width) {
  const found = [''];
  const fits = (line) => ruler.measureText(line).width <= width;
  for (const word of text.split(/(?<=[ &?/])/)) {
    for (const part of fits(word) ? [word] : word) { // by letters where one word is too long
      if (found.at(-1) && !fits(found.at(-1) + part)) found.push('');
      found.push(found.pop() + part);
    }
  }
  return found;
}

function svg(chart, lines_below) {
  const box = chart.getBoundingClientRect();
  const page = getComputedStyle(document.querySelector('.stApp'));
  const style = { fontFamily: page.fontFamily, fontSize: '13px', fontWeight: '400', fontStyle: 'normal' };
  ruler.font = font(style);
  const below = lines_below.flatMap((line) => wrapped(line, box.width));
  const width = Math.ceil(box.width + 2 * EDGE);
  const height = Math.ceil(box.height + 2 * EDGE + LINE * (below.length && below.length + 0.5));
  const root = drawn('svg', { width, height, viewBox: `0 0 ${width} ${height}` });
  root.append(drawn('title', {}, lines_below[0] ?? ''), drawn('desc', {}, location.href));
  root.append(drawn('rect', { width, height, fill: page.backgroundColor }));
  put(chart, { left: box.left - EDGE, top: box.top - EDGE }, root);
  below.forEach((line, index) => {
    const text = drawn('text', {
      x: EDGE, y: round(box.height + EDGE + LINE * (index + 1.5)), fill: page.color,
      'font-family': style.fontFamily, 'font-size': style.fontSize,
    });
    text.textContent = line;
    root.append(text);
  });
  const here = location.href.split('#')[0];
  return new XMLSerializer().serializeToString(root).replaceAll(`${here.replaceAll('&', '&amp;')}#`, '#');
}

// ---- files

function save(content, kind, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content]));
  link.download = `${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
