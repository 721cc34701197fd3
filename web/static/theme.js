// Light or dark: the system's choice until the reader makes one, which is kept
// in this browser.

const key = 'chronik.theme';

// themes in the order in which the button goes through them.
const themes = ['auto', 'light', 'dark'];

// theme is the present choice.
export function theme() {
  try {
    const kept = localStorage.getItem(key);
    return themes.includes(kept) ? kept : 'auto';
  } catch {
    return 'auto'; // the browser keeps nothing
  }
}

// showTheme applies a choice to the page and keeps it.
export function showTheme(choice) {
  if (choice === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  try {
    localStorage.setItem(key, choice);
  } catch {
    // the browser keeps nothing: it holds until the page is left
  }
  dispatchEvent(new Event('themechange'));
}

export const nextTheme = (choice) => themes[(themes.indexOf(choice) + 1) % themes.length];

// onTheme calls fn whenever colours change, by choice or by the system.
export function onTheme(fn) {
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', fn);
  addEventListener('themechange', fn);
  return () => {
    system.removeEventListener('change', fn);
    removeEventListener('themechange', fn);
  };
}
