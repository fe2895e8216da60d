// Light, dark, or as the system has it. Loaded before the page is drawn, so that it does not flash in the other theme.

(() => {
  const CHOICES = ['auto', 'light', 'dark'];
  const ICON = `<svg viewBox="0 0 24 24" aria-hidden="true">
    <g data-for="auto"><circle cx="12" cy="12" r="8"/><path d="M12 4v16a8 8 0 0 0 0-16z" fill="currentColor"/></g>
    <g data-for="light"><circle cx="12" cy="12" r="4"/>
      <path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4"/></g>
    <path data-for="dark" d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"/></svg>`;
  const root = document.documentElement;
  // Storage may be forbidden: then a choice lasts as long as the page.
  const remembered = () => { try { return localStorage.getItem('theme'); } catch { return null; } };
  const remember = (choice) => { try { localStorage.setItem('theme', choice); } catch { /* as said */ } };

  function apply(choice) {
    if (choice === 'auto') delete root.dataset.theme;
    else root.dataset.theme = choice;
    for (const button of document.querySelectorAll('.theme')) button.title = button.ariaLabel = `Colours: ${choice}`;
  }

  let choice = CHOICES.includes(remembered()) ? remembered() : 'auto';
  apply(choice);
  addEventListener('DOMContentLoaded', () => {
    for (const button of document.querySelectorAll('.theme')) {
      button.innerHTML = ICON;
      button.addEventListener('click', () => {
        choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
        remember(choice);
        apply(choice);
      });
    }
    apply(choice);
  });
})();
