"""Is access itself refused or restricted: what heads, and later bodies, say of denials, challenges and prices."""
