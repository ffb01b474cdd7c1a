-- What is asked for every few seconds concerns few services or none: the others are not read for it.
CREATE INDEX services_adopted ON services (state) WHERE is_adopted;
CREATE INDEX services_with_end ON services (state) WHERE ends_at IS NOT NULL;
