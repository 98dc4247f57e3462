const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// One picture can be reached by Tab, the others from there by arrow keys: a page has other things.
function rove(sheet, event) {
  const all = [...sheet.querySelectorAll('button')];
  const at = all.indexOf(event.target);
  const ends = { Home: 0, End: all.length - 1 };
  const to = all[ends[event.key] ?? at + (STEPS[event.key] ?? 0)];
  if (at < 0 || !to || to === event.target) return;
  event.preventDefault();
  to.focus();
}

function only(sheet, reachable) {
  for (const button of sheet.querySelectorAll('button')) button.tabIndex = -1;
  if (reachable) reachable.tabIndex = 0;
}

function tile(one, pick) {
  const button = make('button');
  button.type = 'button';
  button.title = one.title;
  button.dataset.number = one.number;
  button.setAttribute('aria-label', one.title);
  button.setAttribute('aria-pressed', String(one.chosen));
  if (one.right !== null) button.dataset.right = String(one.right);
  const frame = make('span', 'frame');
  if (one.image) {
    const image = make('img');
    image.src = one.image;
    image.alt = '';
    frame.append(image);
  } else {
    frame.append(make('b', '', one.truth));
  }
  button.append(frame);
  const says = make('span', 'says', make('b', '', one.answer), ' ');
  if (one.right === true) says.append(make('i', 'right', '✓'));
  if (one.right === false) says.append(make('i', 'wrong', `✗ ${one.truth}`));
  if (one.answer) button.append(says);
  button.append(...one.notes.map((note) => make('span', 'note', note)));
  button.onclick = () => pick(one.number);
  return button;
}

// Scroll to the panel that shows what was picked, once it is there, and stay while the page is filled
// in. Until the hand does something else.
function follow(panel) {
  const watcher = new ResizeObserver(() => {
    document.querySelector(panel)?.scrollIntoView({ block: 'start' });
  });
  watcher.observe(document.querySelector('.stMainBlockContainer'));
  for (const event of ['pointerdown', 'wheel', 'keydown']) {
    addEventListener(event, () => watcher.disconnect(), { once: true, capture: true });
  }
}

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let sheet = parentElement.querySelector('.sheet');
  if (!sheet) {
    sheet = make('div');
    sheet.setAttribute('role', 'group');
    parentElement.append(sheet);
    sheet.onkeydown = (event) => rove(sheet, event);
    sheet.addEventListener('focusin', (event) => only(sheet, event.target));
  }
  sheet.className = `sheet ${data.layout}`;
  sheet.setAttribute('aria-label', data.label);
  const pick = (number) => {
    setTriggerValue('picked', number);
    if (data.shown_in && matchMedia('(max-width: 640px)').matches) {
      follow(`.st-key-${data.shown_in}`);
    }
  };
  const active = parentElement.activeElement ?? parentElement.getRootNode().activeElement;
  const held = sheet.contains(active) ? active.dataset.number : null;
  sheet.replaceChildren(...data.groups.map((group) => {
    const section = make('section');
    if (group.title) {
      section.append(make('h3', '', group.title, ' ', make('span', '', group.lead)));
    }
    const tiles = make('div', 'tiles', ...group.tiles.map((one) => tile(one, pick)));
    section.append(tiles);
    return section;
  }));
  const open = sheet.querySelector('button[aria-pressed="true"]');
  only(sheet, open ?? sheet.querySelector('button'));
  const row = open?.parentElement;
  if (data.layout === 'strip' && row) row.scrollLeft = open.offsetLeft - row.clientWidth / 2;
  if (held !== null) {
    sheet.querySelector(`button[data-number="${held}"]`)?.focus({ preventScroll: true });
  }
}
