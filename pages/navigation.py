"""The one table of pages, and the frame around each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from core import settings
from core.access import PERMISSIONS, Action, Actor, Role
from core.local import stack
from pages.components import banner, errors, look, memory, sign_in, visits

EVERYONE = frozenset(Role)
STAFF = EVERYONE - {Role.VIEWER}


@dataclass(frozen=True)
class PageEntry:
    """One page: where it stands in the sidebar, what it is called, where it lives, who may see it.

    `file` is relative to this folder; the first entry is the one at `/`. One that is `local_only` exists
    in the local profile alone.
    """

    section: str
    title: str
    icon: str
    url_path: str
    file: str
    question: str
    roles: frozenset[Role]
    local_only: bool = False


PAGES: tuple[PageEntry, ...] = (
    PageEntry(
        section="Now",
        title="Overview",
        icon="space_dashboard",
        url_path="overview",
        file="overview.py",
        question="Is anything on fire, and what first?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Now",
        title="Delivery health",
        icon="monitor_heart",
        url_path="delivery_health",
        file="delivery_health.py",
        question="Are customers getting their files, and is it getting worse?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Now",
        title="Alerts",
        icon="notifications",
        url_path="alerts",
        file="alerts.py",
        question="What is open, who has it?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Repair",
        title="Debug & sync",
        icon="troubleshoot",
        url_path="debug_sync",
        file="debug_sync.py",
        question="Where is this picture, and can I fix it now?",
        roles=STAFF,
    ),
    PageEntry(
        section="Repair",
        title="Bulk resync",
        icon="published_with_changes",
        url_path="bulk_resync",
        file="bulk_resync.py",
        question="How do I fix all of these without making it worse?",
        roles=STAFF,
    ),
    PageEntry(
        section="Repair",
        title="Failure groups",
        icon="bug_report",
        url_path="failure_groups",
        file="failure_groups.py",
        question="What breaks, since when, for how many, who is on it?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Make",
        title="Test generation",
        icon="science",
        url_path="test_generation",
        file="test_generation.py",
        question="Does this model work today?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Train",
        title="Launch training",
        icon="rocket_launch",
        url_path="launch_training",
        file="launch_training.py",
        question="Will these images make a good LoRA, and what does it cost?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Train",
        title="Training runs",
        icon="model_training",
        url_path="training_runs",
        file="training_runs.py",
        question="What is running, what broke, what does it cost me right now?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Train",
        title="LoRA library",
        icon="photo_library",
        url_path="lora_library",
        file="lora_library.py",
        question="Is there one for this character already, and is it any good?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Run",
        title="Budget",
        icon="savings",
        url_path="budget",
        file="budget.py",
        question="Will we stay under the limit, who spends it, is it worth it?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Run",
        title="Scheduler",
        icon="schedule",
        url_path="scheduler",
        file="scheduler.py",
        question="Is the machinery alive?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Run",
        title="Configuration",
        icon="tune",
        url_path="configuration",
        file="configuration.py",
        question="Is it set up right, what is missing?",
        roles=frozenset({Role.OPERATIONS, Role.ADMIN}),
    ),
    PageEntry(
        section="Run",
        title="Audit log",
        icon="history_edu",
        url_path="audit_log",
        file="audit_log.py",
        question="Who did that?",
        roles=PERMISSIONS[Action.READ_AUDIT],
    ),
    PageEntry(
        section="Run",
        title="People",
        icon="group",
        url_path="people",
        file="people.py",
        question="Who may do what?",
        roles=EVERYONE,
    ),
    PageEntry(
        section="Practise",
        title="Rehearsal",
        icon="theater_comedy",
        url_path="rehearsal",
        file="rehearsal.py",
        question="What happens when things break?",
        roles=EVERYONE,
        local_only=True,
    ),
)


def pages_of(actor: Actor) -> Sequence[PageEntry]:
    """The pages that one of the actor's roles may see, where this product runs."""
    local = settings.current().profile == "local"
    return [entry for entry in PAGES if entry.roles & actor.roles and (local or not entry.local_only)]


def _navigation(entries: Sequence[PageEntry], *, shown: bool) -> st.Page:
    grouped: dict[str, list[st.Page]] = {}
    for entry in entries:
        page = st.Page(
            entry.file,
            title=entry.title,
            icon=f":material/{entry.icon}:",
            url_path=entry.url_path,
            default=entry is PAGES[0],
            help=entry.question,
        )
        grouped.setdefault(entry.section, []).append(page)
    return st.navigation(grouped, position="sidebar" if shown else "hidden", expanded=True)


def _starting(status: stack.StackStatus) -> None:
    """The page while the local stack is on its way, or has failed to come up."""
    if status.phase == "failed":
        st.html(look.notice_html("bad", "error", "Studio Ops could not start", escape(status.message)))
        st.button("Look again", icon=":material/refresh:")
        return
    st.html(look.notice_html("waiting", "hourglass_top", "Studio Ops is starting", escape(status.message)))
    st.fragment(_look_again, run_every=1)()


def _look_again() -> None:
    if stack.progress() is None:
        st.rerun()


def main() -> None:
    """Draw the page that the address names, inside its frame."""
    st.set_page_config(page_title="Studio Ops", page_icon=look.FAVICON, layout="wide")
    look.stylesheet()
    st.logo(look.LOGO, size="large", icon_image=look.MARK)
    with errors.guarded("navigation"):
        starting = stack.progress() is not None
        actor, refusal = (None, "") if starting else sign_in.enter()
        page = _navigation(pages_of(actor) if actor else PAGES, shown=actor is not None)
        st.set_page_config(page_title=f"{page.title} · Studio Ops")
        with st.container(key="so-page"):
            if starting:
                _starting(stack.status())
            elif actor is None:
                sign_in.closed(refusal)
            else:
                visits.begin()
                sign_in.in_sidebar(actor)
                if actor.session is not None:
                    sign_in.watch()
                banner.show()
                page.run()
                memory.settle(page.url_path)


if __name__ == "__main__":
    main()
