// Streamlit writes the choices into the address of a page that it has just opened as a second entry
// of the history, to which Back would lead in vain: there they take the place of the first.
function isWhole(address) {
  const named = new URLSearchParams(address.search);
  return named.has('model') && named.has('criterion');
}

function oneEntryForEachPage() {
  if (history.pushState.ofExplorer) return;
  const push = history.pushState;
  const pushState = (state, title, url) => {
    const justOpened = new URL(url, location.href).pathname === location.pathname && !isWhole(location);
    (justOpened ? history.replaceState : push).call(history, state, title, url);
  };
  pushState.ofExplorer = true;
  history.pushState = pushState;
  // the first page of a visit may have had its two entries before this was loaded
  addEventListener('popstate', (event) => {
    if (isWhole(location) || !window.navigation?.canGoBack) return;
    event.stopImmediatePropagation();
    history.back();
  }, true);
}

export default function (component) {
  oneEntryForEachPage();
  if (document.querySelector('.ee-skip')) return;
  const skip = make('a', 'ee-skip', component.data.skip);
  skip.href = '#content';
  skip.onclick = (event) => {
    event.preventDefault();
    const title = document.querySelector('.ee-heading h1');
    if (!title) return;
    title.tabIndex = -1;
    title.focus();
  };
  document.body.prepend(skip);
}
