const NOT_TYPED_INTO = ['button', 'checkbox', 'color', 'file', 'radio', 'range', 'reset', 'submit'];

function typing(event) {
  const at = event.composedPath()[0];
  if (!(at instanceof HTMLElement)) return false;
  if (at.isContentEditable || at.matches('textarea, select')) return true;
  return at.matches('input') && !NOT_TYPED_INTO.includes(at.type);
}

function build(groups) {
  const close = make('button', 'close', '×');
  close.type = 'button';
  close.setAttribute('aria-label', 'Close');
  const title = make('h2', '', 'Keyboard shortcuts');
  title.id = 'title';
  const dialog = make('dialog', '', make('header', '', title, close));
  dialog.setAttribute('aria-labelledby', 'title');
  for (const [name, keys] of groups) {
    const list = make('dl', '');
    for (const [strokes, meaning] of keys) {
      const pressed = strokes.map((stroke) => make('kbd', '', stroke));
      list.append(make('dt', '', ...pressed), make('dd', '', meaning));
    }
    dialog.append(make('h3', '', name), list);
  }
  close.onclick = () => dialog.close();
  dialog.onclick = (event) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const { clientX: x, clientY: y, detail } = event;
    if (detail && (x < left || x > right || y < top || y > bottom)) dialog.close();
  };
  return dialog;
}

export default function (component) {
  const { data, parentElement } = component;
  if (parentElement.querySelector('.shortcuts')) return undefined;
  const open = make('button', 'open', '?');
  open.type = 'button';
  open.title = 'Keyboard shortcuts (press ?)';
  open.setAttribute('aria-label', 'Keyboard shortcuts');
  open.setAttribute('aria-haspopup', 'dialog');
  const dialog = build(data.groups);
  const root = make('div', 'shortcuts', open, dialog);
  parentElement.append(root);
  open.onclick = () => dialog.showModal();
  const pressed = (event) => {
    if (event.key === '?' && !event.repeat && !event.ctrlKey && !event.metaKey && !typing(event)) {
      event.preventDefault();
      if (dialog.open) dialog.close();
      else dialog.showModal();
    }
    // what lies behind an open list is not to be moved by the keys that are read there
    if (dialog.open && event.key !== 'Escape') event.stopPropagation();
  };
  window.addEventListener('keydown', pressed, true);
  return () => {
    window.removeEventListener('keydown', pressed, true);
    root.remove();
  };
}
