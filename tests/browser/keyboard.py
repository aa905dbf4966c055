"""A page as who goes by the keyboard meets it: each stop of Tab, whether it is seen, what it is called."""

from dataclasses import dataclass

from tests.browser import colours
from tests.browser.conftest import Tab

MOST_STOPS = 200
# The element that has the focus: what it is called, whether it can be seen, and the contrast of its ring: its
# own outline, that of the card or table around it, or the frame of a field that is typed in.
STOP = (
    """
() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const ends = one => one.effect?.getComputedTiming().iterations < Infinity;
  document.getAnimations().filter(ends).forEach(one => one.finish());
"""
    + colours.SCRIPT
    + """  const ground = element => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const contrast = (color, element) => {
    const below = ground(element.parentElement || element);
    const [one, two] = [light(over(rgba(color), below)), light(below)].sort((a, b) => b - a);
    return (one + 0.05) / (two + 0.05);
  };
  const typed = at.matches('input:not([type=checkbox], [type=radio]), textarea');
  let ring = 0, seen = false;
  for (let one = at; one && !one.matches('[data-testid=stMainBlockContainer]'); one = one.parentElement) {
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    if (style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2 && style.opacity !== '0')
      ring = Math.max(ring, contrast(style.outlineColor, one));
    if (typed && parseFloat(style.borderTopWidth) >= 1)
      ring = Math.max(ring, contrast(style.borderTopColor, one));
    seen = seen || (box.width > 2 && box.height > 2 && box.bottom > 0 && box.top < innerHeight);
  }
  window.__stops ??= new Map();
  if (!window.__stops.has(at)) window.__stops.set(at, window.__stops.size);
  const name = at.getAttribute('aria-label') || at.innerText || at.labels?.[0]?.innerText || at.title || '';
  return [window.__stops.get(at), at.tagName.toLowerCase(), name.trim().replace(/\\s+/g, ' '), ring, seen,
          at.tabIndex];
}
"""
)
FROM_THE_BEGIN = """
() => {
  window.__stops = new Map();
  document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex');
}
"""
# What several buttons or links of the page are called that do not lead to the same place, but those that
# Streamlit draws as parts of something with a name of its own.
ALIKE = """
() => {
  const found = new Map();
  const parts = ['stElementToolbar', 'stSelectbox', 'stDateInput', 'stCode'];
  const OWN = parts.map(id => `[data-testid=${id}]`).join();
  for (const one of document.querySelectorAll('[data-testid=stMain] :is(button, a[href])')) {
    if (!one.checkVisibility({visibilityProperty: true})) continue;
    if (one.matches('[role=radio]') || one.closest(OWN)) continue;
    const words = one.cloneNode(true);
    words.querySelectorAll('[data-testid=stIconMaterial], [aria-hidden=true]').forEach(icon => icon.remove());
    const shown = [...one.querySelectorAll('img')].map(image => image.alt).join(' ');
    const named = (one.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
    const label = named.map(id => document.getElementById(id)?.textContent ?? '').join(' ');
    const heard = one.getAttribute('aria-label') || label;
    const said = heard || words.textContent.trim() || shown.trim() || one.title;
    const name = said.trim().replace(/\\s+/g, ' ');
    if (!found.has(name)) found.set(name, new Set());
    found.get(name).add(one.href || one);
  }
  return [...found].filter(([, places]) => places.size > 1).map(([name, places]) => [name, places.size]);
}
"""


@dataclass(frozen=True)
class Stop:
    """One stop: the element's number, tag and name, the contrast of its ring, whether any of it is seen."""

    number: int
    tag: str
    name: str
    ring: float
    seen: bool
    tabindex: int


def walk(tab: Tab) -> list[Stop]:
    """Every stop of Tab from the document's begin until its end, or until one comes again."""
    tab.evaluate(FROM_THE_BEGIN)
    stops: list[Stop] = []
    for _ in range(MOST_STOPS):
        tab.page.keyboard.press("Tab")
        found = tab.evaluate(STOP)
        if found is None:
            if stops:
                break
            continue
        stop = Stop(*found)
        if stops and stop.number == stops[-1].number:
            continue  # a table's next cell
        if any(stop.number == known.number for known in stops):
            break
        stops.append(stop)
    return stops


def faults_of(stops: list[Stop]) -> list[str]:
    """What is wrong with them: a stop that is not seen, has no name, a faint ring or a place of its own."""
    return [
        f"{stop.tag} “{stop.name[:40]}”: ring {stop.ring:.1f}, seen {stop.seen}, tabindex {stop.tabindex}"
        for stop in stops
        if stop.ring < 3 or not stop.seen or not stop.name or stop.tabindex > 0
    ]
