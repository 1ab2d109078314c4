# docker build -t attention-workbook . && docker run --rm -p 8888:8888 attention-workbook
FROM python:3.11-slim
WORKDIR /workbook
COPY pyproject.toml constraints.txt README.md LICENSE attention_workbook.py ./
COPY lib lib
RUN pip install --no-cache-dir -c constraints.txt -e . && useradd --create-home --uid 1000 reader && chown -R reader /workbook
COPY --chown=reader . .
USER 1000
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
