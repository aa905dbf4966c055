"""What Streamlit's front end lacks for who goes by the keyboard: the way into a popover and out of it again.

It draws what a popover holds at the end of the document, so that Tab would pass through the whole page first.
With this the next stop after an open popover's button is the first one within, and behind the last one comes
what follows the button. Escape closes it and gives the focus back by itself.
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
