# The page of postergenres/app, for a server or a Space of Hugging Face, which sets SPACE_HOST:
#   docker build -t posters . && docker run -p 7860:7860 posters    # then http://localhost:7860
FROM python:3.12-slim
WORKDIR /page
COPY requirements.txt ./
COPY requirements/app.txt requirements/text.txt requirements/
RUN pip install --no-cache-dir -r requirements.txt -r requirements/app.txt -r requirements/text.txt
COPY postergenres postergenres
COPY data/examples data/examples
RUN useradd --uid 1000 --create-home page && chown page /page
USER page
EXPOSE 7860
CMD exec python -m postergenres.app --host 0.0.0.0 --allow-host "${SPACE_HOST:-localhost}"
