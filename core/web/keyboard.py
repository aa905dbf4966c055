"""What Streamlit's front end lacks for who goes by the keyboard: the way into a popover and out of it again.

It draws what a popover holds at the end of the document, so that Tab would pass through the whole page first.
With this the next stop after an open popover's button is the first one within, and behind the last one comes
what follows the button. Who goes back to the button finds the stops within taken out of the order, and gets
them again: `data-tabindex` says what they were. Escape closes it and gives the focus back by itself.
"""

BUTTON = '[data-testid="stPopoverButton"][aria-expanded="true"]'
BODY = '[data-testid="stPopoverBody"]'
_STOPS = "a[href],button,input,select,textarea,summary,[tabindex]"

_SCRIPT = """\
addEventListener("keydown",event=>{
if(event.key!=="Tab"||event.altKey||event.ctrlKey||event.metaKey)return;
const button=document.querySelector('%(button)s'),body=document.querySelector('%(body)s');
if(!button||!body)return;
const at=document.activeElement;
if(at===button&&!event.shiftKey)body.querySelectorAll("[data-tabindex]").forEach(one=>{
const was=one.dataset.tabindex;delete one.dataset.tabindex;
if(was)one.setAttribute("tabindex",was);else one.removeAttribute("tabindex")});
const stops=[...body.querySelectorAll('%(stops)s')].filter(
one=>one.tabIndex>=0&&!one.disabled&&one.checkVisibility({visibilityProperty:true}));
if(at===button&&!event.shiftKey&&stops.length){event.preventDefault();stops[0].focus()}
else if(body.contains(at)&&event.shiftKey&&(at===stops[0]||!stops.includes(at))){
event.preventDefault();button.focus()}
else if(body.contains(at)&&!event.shiftKey&&at===stops.at(-1))button.focus();
},true);
"""


def script() -> bytes:
    """The script; it listens and touches nothing else."""
    return (_SCRIPT % {"button": BUTTON, "body": BODY, "stops": _STOPS}).encode()
