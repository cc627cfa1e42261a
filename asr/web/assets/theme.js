// The theme: the system's, light or dark. It stands before the page is drawn, so this is no module.
(() => {
  const names = ['system', 'light', 'dark'];
  const root = document.documentElement;
  let theme = 'system';
  try {
    theme = localStorage.getItem('glossa.theme') ?? 'system';
  } catch {
    // without storage the theme lasts as long as the page
  }
  if (!names.includes(theme)) theme = 'system';

  function apply() {
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById('theme');
    if (button) {
      button.textContent = { system: '◐', light: '☀', dark: '☾' }[theme];
      button.setAttribute('aria-label', `Theme: ${theme}. Change it`);
      button.title = `Theme: ${theme}`;
    }
    dispatchEvent(new Event('themechange'));
  }

  apply();
  addEventListener('DOMContentLoaded', () => {
    apply();
    document.getElementById('theme')?.addEventListener('click', () => {
      theme = names[(names.indexOf(theme) + 1) % names.length];
      try {
        localStorage.setItem('glossa.theme', theme);
      } catch {
        // see above
      }
      apply();
    });
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply);
})();
