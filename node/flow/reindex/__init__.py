"""Building the index anew from what the chain says.

1. what only the old index knows is copied: people, orgs, products, files, keys, the outbox (`node.store.rebuild`);
2. the contract's events are played again, and circs, times and holders written as they come (`replaying`);
3. transactions that the old outbox lacks are fetched from the chain (`transactions`);
4. what the outbox has and no block holds stays pending, and what was reverted failed (`waiting`);
5. forms that the old index lacks are looked for under the CID that their digest gives (`forms`);
6. actors get their users, by the digest of the username, and goods their class and serial, by the form of the circ
   that made them (`people`, `products`).
"""

from node.flow.reindex.command import Given, NotPossible, Outcome, Reindex, Stage, Tell
from node.flow.reindex.forms import export_forms, sources

__all__ = ["Given", "NotPossible", "Outcome", "Reindex", "Stage", "Tell", "export_forms", "sources"]
