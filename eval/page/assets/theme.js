// The theme: the system's, light or dark.
{
  const names = ['system', 'light', 'dark'];
  const button = document.getElementById('theme');
  let theme = 'system';

  const apply = () => {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = { system: '◐', light: '☀', dark: '☾' }[theme];
    button.setAttribute('aria-label', `Theme: ${theme}. Change it`);
    button.title = `Theme: ${theme}`;
  };

  button.addEventListener('click', () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    apply();
  });
  button.hidden = false;
  apply();
}
