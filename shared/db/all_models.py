"""Imports every module that defines tables; migrations compare the database with all of them."""

import shared.apps.models
import shared.audit.models
import shared.billing.models
import shared.channels.models
import shared.identity.models
import shared.media.models
import shared.notifications.models
import shared.organizations.models
import shared.posts.models
import shared.publishing.models
import shared.webhooks.models
from shared.db.base import Base

__all__ = ["Base", "shared"]
