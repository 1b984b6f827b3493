"""What another client needs to reach the broker, the store and the pictures of a house.

In the variables that a worker reads. They are the settings in force, whether the file, the
environment or `cradle up` itself gave them: who reads `run/connections.env` need not know whose
broker and store they are.
"""

from shared.config import Settings


def connections_of(settings: Settings) -> dict[str, str]:
    """Variable to value; broker address and secret key among them, so for its owner's eyes only."""
    archive = settings.archive
    return {
        "CRADLE_BROKER__URL": settings.broker.url.get_secret_value(),
        "CRADLE_ARCHIVE__ENDPOINT": archive.endpoint,
        "CRADLE_ARCHIVE__ACCESS_KEY": archive.access_key,
        "CRADLE_ARCHIVE__SECRET_KEY": archive.secret_key.get_secret_value(),
        "CRADLE_ARCHIVE__BUCKET": archive.bucket,
        "CRADLE_ARCHIVE__REGION": archive.region,
        "CRADLE_FRAMES__URL": settings.frames.url,
        "CRADLE_FRAMES__SPOOL": settings.frames.spool,
        "CRADLE_LIVE__URL": settings.live.url,
        "CRADLE_LIVE__SPOOL": settings.live.spool,
        "CRADLE_VIEWER__URL": settings.viewer.url,
    }
