"""LoRA library: is there one for this character already, and is it any good? And one LoRA, by the address."""

from pages.components import chosen_lora, errors, look, lora_detail, lora_list
from pages.components.actor import the_actor

actor = the_actor()

if chosen_lora.named():
    with errors.guarded("LoRA"):
        lora_detail.show(actor)
else:
    look.title("LoRA library", "Is there one for this character already, and is it any good?")
    lora_list.show(actor)
