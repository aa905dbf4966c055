// Streamlit's front end draws what a popover holds at the end of the document, so that Tab would pass through the
// whole page first. With this the next stop after an open popover's button is the first one within, and behind the
// last one comes what follows the button. Who goes back to the button finds the stops within taken out of the order,
// and gets them again: data-tabindex says what they were. Escape closes it and gives the focus back by itself.
const STOPS = "a[href], button, input, select, textarea, summary, [tabindex]";

const restore = (one) => {
  const was = one.dataset.tabindex;
  delete one.dataset.tabindex;
  if (was) one.setAttribute("tabindex", was);
  else one.removeAttribute("tabindex");
};

addEventListener("keydown", (event) => {
  if (event.key !== "Tab" || event.altKey || event.ctrlKey || event.metaKey) return;
  const button = document.querySelector('[data-testid="stPopoverButton"][aria-expanded="true"]');
  const body = document.querySelector('[data-testid="stPopoverBody"]');
  if (!button || !body) return;
  const at = document.activeElement;
  if (at === button && !event.shiftKey) body.querySelectorAll("[data-tabindex]").forEach(restore);
  const can = (one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true });
  const stops = [...body.querySelectorAll(STOPS)].filter(can);
  if (at === button && !event.shiftKey && stops.length) {
    event.preventDefault();
    stops[0].focus();
  } else if (body.contains(at) && event.shiftKey && (at === stops[0] || !stops.includes(at))) {
    event.preventDefault();
    button.focus();
  } else if (body.contains(at) && !event.shiftKey && at === stops.at(-1)) {
    // What follows the button is next.
    button.focus();
  }
}, true);
