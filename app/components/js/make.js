// Comes before every component: an element of a class, with texts and other elements inside.
function make(tag, name, ...inside) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...inside.filter((one) => one !== null && one !== ''));
  return element;
}

// One of the icons' font, by its name, which is not read aloud.
function icon(name) {
  const element = make('i', '', name);
  element.setAttribute('aria-hidden', 'true');
  return element;
}

