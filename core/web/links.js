// Links of ours open in place: the address changes and the page is drawn anew, as by the browser's Back, which
// Streamlit follows. Without it each link would load the whole product again. A link is ours where it stands in
// HTML of ours, opens no tab or file, and leads to a page that the navigation offers this person.
const OURS = ".stHtml a[href]:not([target], [download])";
const part = (name) => document.querySelector(`[data-testid="${name}"]`);

addEventListener("click", (event) => {
  const link = event.target.closest?.(OURS);
  if (!link || event.defaultPrevented || event.button) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (part("stApp")?.dataset.testConnectionState !== "CONNECTED") return;
  const pages = document.querySelectorAll('[data-testid="stSidebarNavLink"]');
  if (link.origin !== location.origin || ![...pages].some((page) => page.pathname === link.pathname)) return;
  event.preventDefault();
  if (link.href !== location.href) history.pushState({}, "", link.href);
  dispatchEvent(new PopStateEvent("popstate", { state: history.state }));
  // What opens beside the link that was clicked leaves the page where it is.
  if (!("stay" in link.dataset || link.role === "checkbox")) part("stMain")?.scrollTo(0, 0);
});

// A link that is a box to tick is ticked by the space bar too.
addEventListener("keydown", (event) => {
  if (event.key !== " " || !event.target.matches?.(OURS) || event.target.role !== "checkbox") return;
  event.preventDefault();
  event.target.click();
});

// A list that is drawn anew, as by a refresh, leaves the keyboard where it was.
const known = (link) => link.dataset.key ?? link.ariaLabel ?? link.getAttribute("href");
let held = null;
addEventListener("focusin", (event) => {
  held = event.target.closest?.(OURS) ?? null;
});
addEventListener("pointerdown", () => {
  held = null;
});
new MutationObserver(() => {
  if (!held || held.isConnected) return;
  const [before, was] = [held, document.activeElement];
  held = null;
  if (was !== document.body) return;
  const again = [...document.querySelectorAll(OURS)].find((link) => known(link) === known(before));
  again?.focus({ preventScroll: true });
}).observe(document, { childList: true, subtree: true });
